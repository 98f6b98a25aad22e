-- R gen entry: writes to the journal that a result came too late; changes nothing else.
local R = ARGV[1] .. ':' .. ARGV[2]
local run = fetch(R, '0', 'late')
if not run.status then return {'gone'} end
if FINAL[run.status] then return {'over'} end
-- No record could show that this call is a resend, so the last entry's hash is stored.
local mark = redis.sha1hex(ARGV[3])
if run.extra[1] == mark then return {'ok'} end
call('HSET', S .. 'r:' .. R, 'n', num(run.n + 1), 'late', mark)
journal(R, run.n + 1, ARGV[3])
return {'ok'}
