-- queue floor age limit tpl before: dispatches lost messages again.
-- A message is lost if its ticket is older than `age` and below `floor`, the smallest
-- ticket at the consuming end of its queue: kombu popped it and lost it. The wait doubles
-- with each repetition.
local queue, floor, age, limit, tpl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
-- After `before` the clock was set forward: tickets seem older than they are.
if ARGV[6] ~= '0' and now > tonumber(ARGV[6]) then return {0} end
local old = math.min(floor - 1, now_us - age * 1000)
local due = call('ZRANGEBYSCORE', S .. 'd:' .. queue, '-inf', num(old), 'WITHSCORES', 'LIMIT', 0, limit)
-- Tickets of the future were made while the clock was set forward. Their age is unknown,
-- so these are dispatched again: a duplicate message does no harm.
for _, v in ipairs(call('ZRANGEBYSCORE', S .. 'd:' .. queue, num(now_us + 60000000), '+inf', 'WITHSCORES', 'LIMIT', 0, limit)) do
  due[#due + 1] = v
end
local moved = 0
for i = 1, #due, 2 do
  local member, ticket = due[i], tonumber(due[i + 1])
  local times = tonumber(call('HGET', S .. 'again', member) or '0')
  if ticket > now_us or now_us - ticket >= age * 1000 * (2 ^ math.min(times, 8)) then
    local bar = find(member, '|', 1, true)
    local R, a = sub(member, 1, bar - 1), sub(member, bar + 1)
    local k, lane = chord_of(a)
    local kb, span = batch_of(a)
    local around = k or kb
    local run = around and fetch(R, a, 'k:' .. around) or fetch(R, a)
    local c = run.raw and unpack_record(run.raw)
    local waiting = run.status and not FINAL[run.status] and not run.closed
      and ((c and (c.state == 'p' or c.state == 's')) or (not c and around and run.extra[1]))
    if waiting and kb then waiting = batch_free(call('HGET', results_key(R, kb), 'b:' .. span)) end
    if waiting and k and not c then waiting = call('HEXISTS', results_key(R, k), lane) == 0 end
    if waiting then
      local timeout = c and c.timeout or unpack_chord(run.extra[1]).timeout
      call('HINCRBY', S .. 'again', member, 1)
      dispatch(tpl, R, a, queue, timeout)
      moved = moved + 1
    else
      call('ZREM', S .. 'd:' .. queue, member)
      call('HDEL', S .. 'again', member)
    end
  end
end
return {moved}
