-- R gen a seq nonce offset edits failure entry decides lease had_signal frames tpl consumed
-- Ends a lane that has its own record.
local R, a, seq, nonce = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local offset, edits, failure = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local key = S .. 'r:' .. R
local k, i = chord_of(a)
local results = results_key(R, k)
local run = fetch(R, a, 'k:' .. k, 'o:' .. k, 'n:' .. k, 'q:' .. a)
if run.status and not run.raw then
  local mine = call('HGET', results, i)
  if mine and sub(mine, 1, 12) == nonce then return join_again(R, k, nonce) end
end
local no, c = fence(run, seq, nonce)
if no == 'again' then
  -- A settled lane has no record, so a pause has parked this one.
  if c.last == nonce then return {'ok', 0, 1} end
  return {'stale'}
end
if no then
  if no == 'closed' or no == 'over' then unlease(R, a) end
  return {no}
end
if offset > c.loglen or not run.extra[1] then return {'stale'} end
local chord = unpack_chord(run.extra[1])
if ARGV[15] ~= '' then forget_joins(key, ARGV[15]) end
if run.status == 'paused' then
  write_edits(R, a, offset, edits)
  c.seq, c.state, c.owner, c.last, c.queue = seq + 1, 'h', '', nonce, ENGINE
  c.loglen, c.frames = offset + #edits, ARGV[13]
  if ARGV[12] == '1' then call('HDEL', key, 's:' .. a) end
  call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
  journal(R, run.n + 1, ARGV[9])
  unlease(R, a)
  hold(R, a, ENGINE)
  return {'ok', 0, 1}
end
local result
if failure ~= '' then
  result = nonce .. 'R' .. failure
  if run.extra[4] then
    call('HDEL', key, 'q:' .. a)
    forget_opened(key, run.extra[4])
  end
else
  local log = ''
  if offset > 0 then log = call('GETRANGE', log_key(R, a), 0, offset - 1) end
  result = nonce .. 'F' .. log .. edits
end
local outstanding = tonumber(run.extra[2]) - 1
call('HSET', results, i, result)
call('UNLINK', log_key(R, a))
if c.base ~= '' then call('HDEL', key .. ':b', c.base) end
call('HDEL', key, 'c:' .. a, 's:' .. a, 'e:' .. a)
unlease(R, a)
journal(R, run.n + 1, ARGV[9])
local writes = {'n', num(run.n + 1), 'o:' .. k, num(outstanding)}
local reply = {'ok', 0, 0}
if outstanding == 0 or ARGV[10] == '1' then
  local why = ARGV[10] == '1' and tostring(i) or (chord.mode == 'any' and tostring(i) or 'all')
  reply = close_chord(run, R, k, chord, why, nonce, tonumber(ARGV[11]), writes)
else
  writes[#writes + 1] = 'n:' .. k
  writes[#writes + 1] = num(send_lanes(ARGV[14], R, k, chord, tonumber(run.extra[3]), chord.size - outstanding))
end
call('HSET', key, unpack(writes))
return reply
