-- max_lost limit tpl before
local max_lost, tpl = tonumber(ARGV[1]), ARGV[3]
-- Asked of a server that then stood still: nobody could renew meanwhile. Or the clock
-- was set forward.
if ARGV[4] ~= '0' and now > tonumber(ARGV[4]) then return {0, 0} end
local due = call('ZRANGEBYSCORE', S .. 'leases', '-inf', num(now), 'LIMIT', 0, tonumber(ARGV[2]))
local moved = 0
for _, member in ipairs(due) do
  local bar = find(member, '|', 1, true)
  local R, a = sub(member, 1, bar - 1), sub(member, bar + 1)
  local key = S .. 'r:' .. R
  local k, lo, hi = string.match(a, '^(.*):(%d+)%-(%d+)$')
  local run = k and fetch(R, a, 'k:' .. k) or fetch(R, a, 'w:' .. a)
  call('ZREM', S .. 'leases', member)
  local live = run.status and not FINAL[run.status] and not run.closed
  local gen = run.gen
  local paused = run.status == 'paused'
  local function send(at, queue, timeout)
    if paused then hold(R, at, queue) else dispatch(tpl, R, gen, at, queue, timeout) end
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
      local told, how = run.extra[1], ''
      if told then
        if sub(told, 1, 12) == c.owner then how = ',"how":' .. sub(told, 13) end
        call('HDEL', key, 'w:' .. a)
      end
      c.owner, c.last, c.lost, c.deadline = '', '', c.lost + 1, 0
      local step = sub(c.frames, 1, 1) == 's'
      local signal = call('HGET', key, 's:' .. a)
      -- Whatever it was about to do, and even a signal that kills who takes it: lost
      -- too often, that is its outcome now. The engine makes it a failure at that point.
      if c.lost > max_lost and not (signal and find(signal, '{"lost":', 1, true) == 1) then
        signal = '{"lost":' .. num(c.lost) .. how .. '}'
        call('HSET', key, 's:' .. a, signal)
      end
      journal(R, gen, run.n + 1, '{"a":"' .. a .. '","s":' .. num(c.seq) .. ',"e":[["lost","' ..
        string.gsub(c.place, '[\\"]', '\\%0') .. '",' .. num(c.tries + c.lost - 1) .. ',' .. num(c.lost) .. ']]}')
      if signal then
        c.state, c.queue = 's', ENGINE
        call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
        send(a, ENGINE, 60000)
      else
        c.state = paused and 'h' or 'p'
        -- A lost attempt is capped apart from failures, so it is not charged as a try.
        if step and c.tries > 0 then c.tries = c.tries - 1 end
        call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
        send(a, c.queue, c.timeout)
      end
      moved = moved + 1
    end
  end
end
return {moved, #due}
