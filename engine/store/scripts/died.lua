-- R member nonce how: the owner of a claim is dead, so its lease is over now. `how` is
-- a JSON text, for the end of a step that is lost too often.
local R, a, nonce, how = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run = fetch(R, a)
if not run.status or FINAL[run.status] or owner_of(R, a, run) ~= nonce then return {0} end
if run.raw then call('HSET', S .. 'r:' .. R, 'w:' .. a, nonce .. how) end
call('ZADD', S .. 'leases', 'XX', '0', R .. '|' .. a)
return {1}
