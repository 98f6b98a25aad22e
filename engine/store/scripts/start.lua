-- run gen prog program base_id base edits frames queue place timeout entry deadline tpl
-- Creates a generation of a run, the next one if the last has ended, and dispatches its
-- root chain.
local gen, prog = tonumber(ARGV[2]), ARGV[3]
local newest, R = pointer(ARGV[1]), ARGV[1] .. ':' .. num(gen)
local edits, frames, queue, place, timeout = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local key = S .. 'r:' .. R
if newest > gen then return {'stale'} end
local status = call('HGET', key, 'status')
if status then return {status == 'running' and 'ok' or status} end
if newest ~= 0 then
  local before = call('HGET', S .. 'r:' .. current(ARGV[1]), 'status')
  if before and not FINAL[before] then return {before} end
end
local c = new_record(timeout, queue, place, frames)
c.loglen, c.base = #edits, ARGV[5]
call('HSET', key, 'status', 'running', 'n', 1, 'prog', prog, 'at', num(now), 'c:0', pack_record(c))
call('HSET', key .. ':b', prog, ARGV[4], ARGV[5], ARGV[6])
write_edits(R, '0', 0, edits)
point(ARGV[1], gen)
journal(R, 1, ARGV[12])
if tonumber(ARGV[13]) > 0 then
  timer(R .. '|0|0|deadline', tonumber(ARGV[13]))
end
dispatch(ARGV[14], R, '0', queue, timeout)
return {'ok'}
