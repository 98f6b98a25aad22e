-- max_lost limit tpl before only_ended: expires overdue leases and dispatches their chains
-- again. A lease that was ended, since its worker is dead, has the score 0.
local max_lost, tpl = tonumber(ARGV[1]), ARGV[3]
-- The server stood still, so that no lease could be renewed, or its clock was set forward.
if ARGV[4] ~= '0' and now > tonumber(ARGV[4]) then return {0, 0} end
local due = call('ZRANGEBYSCORE', S .. 'leases', '-inf', ARGV[5] == '1' and '0' or num(now), 'LIMIT', 0, tonumber(ARGV[2]))
local moved = 0
for _, member in ipairs(due) do
  local bar = find(member, '|', 1, true)
  local R, a = sub(member, 1, bar - 1), sub(member, bar + 1)
  local key = S .. 'r:' .. R
  local k, lo, hi = string.match(a, '^(.*):(%d+)%-(%d+)$')
  local run = k and fetch(R, a, 'k:' .. k) or fetch(R, a, 'w:' .. a)
  call('ZREM', S .. 'leases', member)
  local live = run.status and not FINAL[run.status] and not run.closed
  local paused = run.status == 'paused'
  local function send(at, queue, timeout)
    if paused then hold(R, at, queue) else dispatch(tpl, R, at, queue, timeout) end
  end
  if live and k and run.extra[1] then
    local mine = call('HGET', results_key(R, k), 'b:' .. lo .. '-' .. hi)
    if not (batch_free(mine) or batch_over(mine)) then
      local chord = unpack_chord(run.extra[1])
      call('HSET', results_key(R, k), 'b:' .. lo .. '-' .. hi, 'x')
      for i = tonumber(sub(mine, 13)), tonumber(hi) - 1 do
        send(k .. '.' .. num(i), chord.queue, chord.timeout)
      end
      moved = moved + 1
    end
  elseif live and run.raw then
    local c = unpack_record(run.raw)
    if c.state == 'r' then
      local death, how = run.extra[1], ''
      if death then
        if sub(death, 1, 12) == c.owner then how = ',"how":' .. sub(death, 13) end
        call('HDEL', key, 'w:' .. a)
      end
      c.owner, c.last, c.lost, c.deadline = '', '', c.lost + 1, 0
      local step = sub(c.frames, 1, 1) == 's'
      local signal = call('HGET', key, 's:' .. a)
      -- A chain that was lost too often gets a signal that ends its step. It replaces any
      -- other signal, since that may be what kills the workers.
      if c.lost > max_lost and not (signal and find(signal, '{"lost":', 1, true) == 1) then
        signal = '{"lost":' .. num(c.lost) .. how .. '}'
        call('HSET', key, 's:' .. a, signal)
      end
      -- A replay needs the end of a lost step; it meets any other signal when that is consumed.
      local waits = signal and (find(signal, '{"lost":', 1, true) == 1 and ',' .. signal or ',{}') or ''
      journal(R, run.n + 1, '{"a":"' .. a .. '","s":' .. num(c.seq) .. ',"e":[["lost","' ..
        string.gsub(c.place, '[\\"]', '\\%0') .. '",' .. num(c.tries + c.lost - 1) .. ',' .. num(c.lost) .. waits .. ']]}')
      if signal then
        c.state, c.queue = 's', ENGINE
        call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
        send(a, ENGINE, $ENGINE_TIMEOUT_MS)
      else
        c.state = paused and 'h' or 'p'
        -- Lost attempts have a cap of their own and do not count as tries.
        if step and c.tries > 0 then c.tries = c.tries - 1 end
        call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
        send(a, c.queue, c.timeout)
      end
      moved = moved + 1
    end
  end
end
return {moved, #due}
