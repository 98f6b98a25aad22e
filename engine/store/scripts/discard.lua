-- R gen entry: notes a result that came too late; nothing else changes.
local R, gen = ARGV[1], tonumber(ARGV[2])
local run = fetch(R, '0')
if not run.status then return {'gone'} end
if FINAL[run.status] or run.gen ~= gen then return {'over'} end
call('HSET', S .. 'r:' .. R, 'n', num(run.n + 1))
journal(R, gen, run.n + 1, ARGV[3])
return {'ok'}
