-- limit tpl before
-- Past `before` the clock was set forward, or this was asked of a server that stood still.
if ARGV[3] ~= '0' and now > tonumber(ARGV[3]) then return {0, 0} end
local due = call('ZRANGEBYSCORE', S .. 't', '-inf', num(now), 'LIMIT', 0, tonumber(ARGV[1]))
local moved = 0
for _, member in ipairs(due) do
  local t = {}
  for part in string.gmatch(member, '[^|]+') do t[#t + 1] = part end
  local R, gen, a, seq, kind = t[1], tonumber(t[2]), t[3], tonumber(t[4]), t[5]
  local key = S .. 'r:' .. R
  local run = fetch(R, a, 'at')
  call('ZREM', S .. 't', member)
  if run.status and run.gen == gen and not FINAL[run.status] then
    if kind == 'deadline' then
      local after = num(math.floor((now - tonumber(run.extra[1] or num(now))) / 1000 + 0.5))
      call('HSET', key, 'status', 'failed', 'by', 'deadline', 'n', num(run.n + 1))
      journal(R, gen, run.n + 1, '{"e":[["run_failed","RunDeadline","run deadline exceeded after ' .. after .. ' s"]]}')
      moved = moved + 1
    elseif run.raw and not run.closed then
      local c = unpack_record(run.raw)
      if c.state == 'w' and c.seq == seq then
        moved = moved + 1
        if run.status == 'paused' then
          c.state = 'h'
          hold(R, a, c.queue)
        else
          c.state = 'p'
          dispatch(ARGV[2], R, gen, a, c.queue, c.timeout)
        end
        call('HSET', key, 'c:' .. a, pack_record(c))
      end
    end
  end
end
return {moved, #due}
