-- R member nonce how: ends the lease of a claim whose owner is dead. `how`, a JSON text,
-- becomes part of the error if the step is lost too often.
local R, a, nonce, how = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run = fetch(R, a)
if not run.status or FINAL[run.status] or owner_of(R, a, run) ~= nonce then return {0} end
if run.raw then call('HSET', S .. 'r:' .. R, 'w:' .. a, nonce .. how) end
call('ZADD', S .. 'leases', 'XX', '0', R .. '|' .. a)
return {1}
