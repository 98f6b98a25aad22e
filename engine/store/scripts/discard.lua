-- R gen entry: notes a result that came too late; nothing else changes.
local R, gen = ARGV[1], tonumber(ARGV[2])
local run = fetch(R, '0', 'late')
if not run.status then return {'gone'} end
if FINAL[run.status] or run.gen ~= gen then return {'over'} end
-- It belongs to no record that could tell a resend, so the last one is remembered.
local mark = redis.sha1hex(ARGV[3])
if run.extra[1] == mark then return {'ok'} end
call('HSET', S .. 'r:' .. R, 'n', num(run.n + 1), 'late', mark)
journal(R, gen, run.n + 1, ARGV[3])
return {'ok'}
