-- limit tpl before instead: fires up to `limit` deadlines of runs, then as many delays of
-- retries. Each have a set of their own, so that many due retries do not delay a run's
-- deadline. After `before` the server stood still, or its clock was set forward. A caller
-- that acts `instead` of a steward fires retries alone, and none (-1) while a steward leads.
if ARGV[4] == '1' and call('EXISTS', S .. 'steward') == 1 then return {-1, 0} end
if ARGV[3] ~= '0' and now > tonumber(ARGV[3]) then return {0, 0} end

local function over(R, key, run)
  local after = num(math.floor((now - tonumber(run.extra[1] or num(now))) / 1000 + 0.5))
  call('HSET', key, 'status', 'failed', 'n', num(run.n + 1))
  journal(R, run.n + 1, '{"e":[["run_failed","RunDeadline","run deadline exceeded after ' .. after .. ' s"]]}')
  return 1
end

local function again(R, key, run, a, seq)
  local c = run.raw and not run.closed and unpack_record(run.raw)
  if not c or c.state ~= 'w' or c.seq ~= seq then return 0 end
  -- A postponed transition may have the outcome of its attempt.
  local signal = run.extra[2]
  if run.status == 'paused' then
    c.state = signal and 's' or 'h'
    hold(R, a, c.queue)
  else
    c.state = signal and 's' or 'p'
    dispatch(ARGV[2], R, a, c.queue, signal and $ENGINE_TIMEOUT_MS or c.timeout)
  end
  call('HSET', key, 'c:' .. a, pack_record(c))
  return 1
end

local moved, most = 0, 0
for _, timers in ipairs(ARGV[4] == '1' and {RETRIES} or {DEADLINES, RETRIES}) do
  local due = call('ZRANGEBYSCORE', timers, '-inf', num(now), 'LIMIT', 0, tonumber(ARGV[1]))
  most = math.max(most, #due)
  for _, member in ipairs(due) do
    local t = {}
    for part in string.gmatch(member, '[^|]+') do t[#t + 1] = part end
    local R, a, seq, kind = t[1], t[2], tonumber(t[3]), t[4]
    local key = S .. 'r:' .. R
    local run = fetch(R, a, 'at', 's:' .. a)
    call('ZREM', timers, member)
    if run.status and not FINAL[run.status] then
      moved = moved + (kind == 'deadline' and over(R, key, run) or again(R, key, run, a, seq))
    end
  end
end
return {moved, most}
