-- R gen prog program base_id base edits frames queue place timeout entry deadline tpl
-- Creates a run and dispatches its root chain.
local R, gen, prog = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local edits, frames, queue, place, timeout = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local key = S .. 'r:' .. R
local was = call('HMGET', key, 'status', 'gen', 'gone')
local status = was[1]
-- The keys of the generation before must be removed first.
if status and was[3] and gen > tonumber(was[2]) and call('EXISTS', key .. ':old') == 0 then
  call('DEL', key)
  status = nil
end
if status then
  if status == 'running' then return {'ok'} end
  return {status}
end
local c = new_record(timeout, queue, place, frames)
c.loglen, c.base = #edits, ARGV[5]
call('HSET', key, 'status', 'running', 'gen', gen, 'n', 1, 'prog', prog, 'at', num(now), 'c:0', pack_record(c))
call('HSET', key .. ':b', prog, ARGV[4], ARGV[5], ARGV[6])
write_edits(R, '0', 0, edits)
journal(R, gen, 1, ARGV[12])
if tonumber(ARGV[13]) > 0 then
  timer(R .. '|' .. gen .. '|0|0|deadline', tonumber(ARGV[13]))
end
dispatch(ARGV[14], R, gen, '0', queue, timeout)
return {'ok'}
