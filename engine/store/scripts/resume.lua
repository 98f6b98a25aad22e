-- run entry limit tpl: resumes a paused run.
-- The first call sets the status; each call dispatches up to `limit` parked chains. The
-- later calls have no entry and end when another pause came in between. Until no chain is
-- parked the run is in a set, so that a steward can finish an interrupted resume.
local R = current(ARGV[1])
local key = S .. 'r:' .. R
local run = fetch(R, '0')
if not run.status then
  call('SREM', S .. 'resuming', ARGV[1])
  return {'gone', 0, 0}
end
if run.status ~= 'running' and (run.status ~= 'paused' or ARGV[2] == '') then
  call('SREM', S .. 'resuming', ARGV[1])
  return {run.status, 0, 0}
end
if run.status == 'paused' then
  call('HSET', key, 'status', 'running', 'n', num(run.n + 1))
  journal(R, run.n + 1, ARGV[2])
end
local held = call('SPOP', key .. ':h', tonumber(ARGV[3]))
for _, member in ipairs(held) do
  local bar = find(member, '|', 1, true)
  local a, queue = sub(member, 1, bar - 1), sub(member, bar + 1)
  local raw = call('HGET', key, 'c:' .. a)
  -- A lane or batch without a record has the timeout of its chord.
  local k = chord_of(a) or batch_of(a)
  local spec = not raw and k and call('HGET', key, 'k:' .. k)
  local waits
  local timeout = spec and unpack_chord(spec).timeout or $ENGINE_TIMEOUT_MS
  if raw then
    local c = unpack_record(raw)
    timeout = c.timeout
    -- An installed generation holds what waits for a retry, with the rest of its delay.
    waits = c.state == 'w' and c.deadline
    if c.state == 'h' or waits then
      c.state, c.deadline = waits and 'w' or 'p', 0
      call('HSET', key, 'c:' .. a, pack_record(c))
    end
    if waits then timer(R .. '|' .. a .. '|' .. num(c.seq) .. '|retry', waits) end
  end
  if not waits then dispatch(ARGV[4], R, a, queue, timeout) end
end
local left = call('SCARD', key .. ':h')
call(left > 0 and 'SADD' or 'SREM', S .. 'resuming', ARGV[1])
return {'ok', left, #held}
