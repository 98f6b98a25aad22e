-- run gen token status entry deadline: opens a generation that is installed: moves the
-- pointer of the run, and sets the deadline. What it dispatches first is held, so that
-- the calls of a resume dispatch it, and a steward finishes them.
local R = ARGV[1] .. ':' .. ARGV[2]
local key, gen, status = S .. 'r:' .. R, tonumber(ARGV[2]), ARGV[4]
local newest = pointer(ARGV[1])
local was = call('HMGET', key, 'status', 'token')
if newest > gen then return {'stale'} end
if newest == gen then
  return {was[1] ~= 'paused' and was[1] ~= 'running' and was[1] or 'ok'}
end
if was[1] ~= 'installing' or was[2] ~= ARGV[3] then return {'gone'} end
call('HDEL', key, 'token')
call('HSET', key, 'status', status, 'at', num(now))
call('SREM', S .. 'installing', R)
point(ARGV[1], gen)
if ARGV[5] ~= '' then
  call('HSET', key, 'n', 1)
  journal(R, 1, ARGV[5])
end
if tonumber(ARGV[6]) > 0 then timer(R .. '|0|0|deadline', tonumber(ARGV[6])) end
if status == 'running' then call('SADD', S .. 'resuming', ARGV[1]) end
return {'ok'}
