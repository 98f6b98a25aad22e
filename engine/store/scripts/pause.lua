-- run entry: pauses a running run.
local R = current(ARGV[1])
local run = fetch(R, '0')
if not run.status then return {'gone'} end
if run.status == 'paused' then return {'ok'} end
if run.status ~= 'running' then return {run.status} end
call('HSET', S .. 'r:' .. R, 'status', 'paused', 'n', num(run.n + 1))
journal(R, run.n + 1, ARGV[2])
return {'ok'}
