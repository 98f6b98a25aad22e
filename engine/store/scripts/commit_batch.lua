-- R gen k lo hi nonce first entry decided_by lease tpl promote what edits frames queue
-- place timeout tries delay least count results... (each 'F' log or 'R' failure)
-- Settles lanes of a batch and moves its cursor; `promote` gives one lane its own record.
local R, k, nonce, first = ARGV[1] .. ':' .. ARGV[2], ARGV[3], ARGV[6], tonumber(ARGV[7])
local span = ARGV[4] .. '-' .. ARGV[5]
local hi, a = tonumber(ARGV[5]), k .. ':' .. span
local key, results = S .. 'r:' .. R, results_key(R, k)
local count, promote = tonumber(ARGV[22]), ARGV[12] == '1'
local after = first + count + (promote and 1 or 0)
local run = fetch(R, a, 'k:' .. k, 'o:' .. k, 'n:' .. k)
local mine = call('HGET', results, 'b:' .. span)
if not run.status then return {missing(R)} end
if not run.extra[1] then
  unlease(R, a)
  return {run.closed and 'closed' or 'gone'}
end
if not mine then return {'stale'} end
if mine == '=' .. nonce or (sub(mine, 1, 12) == nonce and tonumber(sub(mine, 13)) >= after) then
  local alone = promote and call('HGET', key, 'c:' .. k .. '.' .. num(first + count))
  if alone then
    local again = moved_again(unpack_record(alone), nonce, ARGV[13])
    if again[2] == 0 and run.status == 'paused' then again[3] = 1 end
    return again
  end
  local again = join_again(R, k, nonce)
  if again[1] == 'ok' and run.status == 'paused' then again[3] = 1 end
  return again
end
if FINAL[run.status] then unlease(R, a) return {'over'} end
if run.closed then unlease(R, a) return {'closed'} end
if sub(mine, 1, 12) ~= nonce or tonumber(sub(mine, 13)) ~= first then return {'stale'} end

local chord = unpack_chord(run.extra[1])
local fields = {}
for i = 1, count do
  fields[#fields + 1] = first + i - 1
  fields[#fields + 1] = nonce .. ARGV[22 + i]
end
fields[#fields + 1] = 'b:' .. span
fields[#fields + 1] = after == hi and ('=' .. nonce) or (nonce .. num(after))
call('HSET', results, unpack(fields))
journal(R, run.n + 1, ARGV[8])
local outstanding = tonumber(run.extra[2]) - count
local writes = {'n', num(run.n + 1), 'o:' .. k, num(outstanding)}
-- In a paused run the reply makes the worker release the rest.
local held = run.status == 'paused' and 1 or 0
local reply = {'ok', 0, held}
if promote then
  local lane = k .. '.' .. (first + count)
  local what = ARGV[13]
  local c = new_record(tonumber(ARGV[18]), ARGV[16], ARGV[17], ARGV[15])
  c.seq, c.last, c.state, c.tries, c.loglen = 1, nonce, what, tonumber(ARGV[19]), #ARGV[14]
  write_edits(R, lane, 0, ARGV[14])
  if what ~= 'w' and run.status == 'paused' then
    c.state = 'h'
    hold(R, lane, c.queue)
  elseif what == 'c' then
    c.state, c.owner, c.last, c.deadline = 'r', nonce, '', now + math.max(c.timeout, ARGV[21])
    if sub(c.frames, 1, 1) == 's' then c.tries = c.tries + 1 end
    lease(R, lane, tonumber(ARGV[10]), c.deadline)
    reply = {'ok', num(c.deadline), 0}
  elseif what == 'p' then
    dispatch(ARGV[11], R, lane, c.queue, c.timeout)
  elseif tonumber(ARGV[20]) > 0 then
    timer(R .. '|' .. lane .. '|1|retry', tonumber(ARGV[20]))
  end
  writes[#writes + 1] = 'c:' .. lane
  writes[#writes + 1] = pack_record(c)
end
if after == hi then unlease(R, a) else lease(R, a, tonumber(ARGV[10])) end
if outstanding == 0 or ARGV[9] ~= '-1' then
  unlease(R, a)
  reply = close_chord(run, R, k, chord, ARGV[9] ~= '-1' and ARGV[9] or 'all', nonce, tonumber(ARGV[10]), writes)
else
  writes[#writes + 1] = 'n:' .. k
  writes[#writes + 1] = num(send_lanes(ARGV[11], R, k, chord, tonumber(run.extra[3]), chord.size - outstanding))
end
call('HSET', key, unpack(writes))
return reply
