-- R gen a seq nonce what offset edits frames queue place timeout keep_tries delay entry
-- lease status base_id base had_signal consumed tpl ending
local R, gen, a, seq, nonce, what = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local offset, edits = tonumber(ARGV[7]), ARGV[8]
local key = S .. 'r:' .. R
local run = fetch(R, a)
local no, c = fence(run, gen, seq, nonce)
if no == 'again' then return moved_again(c, nonce, what) end
if no then
  if no == 'closed' or no == 'over' then unlease(R, a) end
  return {no}
end
if offset > c.loglen then return {'stale'} end

local held = run.status == 'paused' and what ~= 'w'
local was = c.tries
c.seq, c.frames, c.queue, c.place, c.timeout = seq + 1, ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
c.loglen = offset + #edits
c.tries = ARGV[13] == '1' and was or 0
if ARGV[13] ~= '1' then c.lost = 0 end
if ARGV[18] ~= '' then c.base = ARGV[18] end
write_base(R, ARGV[18], ARGV[19])
write_edits(R, a, offset, edits)
if ARGV[20] == '1' then call('HDEL', key, 's:' .. a) end
if ARGV[21] ~= '' then
  local k = ARGV[21]
  if call('HGET', key, 'x:' .. k) == 'all' then call('HDEL', key, 'x:' .. k) end
  -- The constants stay: removal finds the chord's keys by them.
  call('HDEL', key, 'o:' .. k, 'n:' .. k)
end
-- Only what is not parked by a pause may say that the run is over.
local over = what == 'd' and not held and ARGV[23] ~= ''
journal(R, gen, run.n + 1, over and ARGV[23] or ARGV[15])

if what == 'c' and not held then
  if sub(c.frames, 1, 1) == 's' then c.tries = c.tries + 1 end
  c.deadline = now + c.timeout
  call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1))
  lease(R, a, tonumber(ARGV[16]), c.deadline)
  return {'ok', num(c.deadline), 0}
end
c.owner, c.last, c.deadline = '', nonce, 0
unlease(R, a)
if held then
  c.state = 'h'
  hold(R, a, c.queue)
elseif what == 'p' then
  c.state = 'p'
elseif what == 'w' then
  c.state = 'w'
  if tonumber(ARGV[14]) > 0 then
    call('ZADD', S .. 't', num(now + tonumber(ARGV[14])), R .. '|' .. gen .. '|' .. a .. '|' .. num(c.seq) .. '|retry')
  end
else
  c.state = 'd'
end
local fields = {'c:' .. a, pack_record(c), 'n', num(run.n + 1)}
if c.state == 'd' then
  for _, v in ipairs({'status', ARGV[17], 'by', nonce}) do fields[#fields + 1] = v end
  call('ZREM', S .. 't', R .. '|' .. gen .. '|0|0|deadline')
end
call('HSET', key, unpack(fields))
if c.state == 'p' then dispatch(ARGV[22], R, gen, a, c.queue, c.timeout) end
return {'ok', 0, held and 1 or 0}
