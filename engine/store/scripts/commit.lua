-- R gen a seq nonce what offset edits frames queue place timeout keep_tries delay entry
-- lease status base_id base had_signal consumed tpl ending least
-- Writes a transition of a chain. keep_tries is 2 if the attempt was interrupted and is not
-- charged. A claimed attempt has `least` milliseconds at least.
-- The fast path: a root chain continues with its next step in the same delivery. It comes
-- before the prelude, which takes longer than this path to run. It writes what the full
-- path below would write; the prelude has the layout of the record.
if ARGV[6] == 'c' and ARGV[13] == '0' and ARGV[18] == '' and ARGV[20] == '0' and ARGV[21] == ''
  and not string.find(ARGV[3], '.', 1, true) then
  local call, sub, fmt, nonce = redis.call, string.sub, string.format, ARGV[5]
  local R, field = ARGV[1] .. ':' .. ARGV[2], 'c:' .. ARGV[3]
  local key = '$STATEr:' .. R
  local got = call('HMGET', key, 'status', 'n', field)
  local raw, offset = got[3], tonumber(ARGV[7])
  if raw and got[1] == 'running' and sub(raw, 33, 33) == 'r'
    and sub(raw, 1, 20) == fmt('%08d', ARGV[4]) .. nonce and offset <= tonumber(sub(raw, 60, 68)) then
    -- As in the prelude.
    local wall, n = call('TIME'), fmt('%.0f', got[2] + 1)
    local ahead, beat = string.match(call('GET', '$STATEclock') or '0 0', '^(%S+) (%S+)$')
    local now = math.max(wall[1] * 1000 + math.floor(wall[2] / 1000) + ahead, beat)
    local timeout = tonumber(ARGV[12])
    local edits, frames = ARGV[8], ARGV[9]
    local lasts = math.max(timeout, ARGV[24])
    local deadline = fmt('%013.0f', now + lasts)
    if edits ~= '' then call('SETRANGE', key .. ':l:' .. ARGV[3], offset, edits) end
    call('XADD', '$STATEj', '*', 'r', ARGV[1], 'g', ARGV[2], 'n', n, 'e', ARGV[15])
    call('HSET', key, field, fmt('%08d%s%sr%s00%s%09d%09d%s', ARGV[4] + 1, nonce, sub(raw, 21, 32),
      string.byte(frames) == 115 and '01' or '00', deadline, timeout, offset + #edits, sub(raw, 69, 84))
      .. ARGV[10] .. '\n' .. ARGV[11] .. '\n' .. frames, 'n', n)
    call('ZADD', '$STATEleases', fmt('%.0f', now + math.min(ARGV[16], lasts + $GRACE_MS)), R .. '|' .. ARGV[3])
    return {'ok', deadline, 0}
  end
end
-- PRELUDE
local R, a, seq, nonce, what = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local offset, edits = tonumber(ARGV[7]), ARGV[8]
local key = S .. 'r:' .. R
local run = fetch(R, a)
local no, c = fence(run, seq, nonce)
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
c.tries = ARGV[13] == '0' and 0 or math.max(0, was - (ARGV[13] == '2' and 1 or 0))
if ARGV[13] == '0' then c.lost = 0 end
write_base(R, c, ARGV[18], ARGV[19])
write_edits(R, a, offset, edits)
if ARGV[20] == '1' then call('HDEL', key, 's:' .. a) end
if ARGV[21] ~= '' then forget_joins(key, ARGV[21]) end
-- A chain that a pause parks has not ended yet, so its run has not either.
local over = what == 'd' and not held and ARGV[23] ~= ''
local n = run.n
if ARGV[15] ~= '' then
  n = n + 1
  journal(R, n, over and ARGV[23] or ARGV[15])
end

if what == 'c' and not held then
  if sub(c.frames, 1, 1) == 's' then c.tries = c.tries + 1 end
  c.deadline = now + math.max(c.timeout, ARGV[24])
  call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(n))
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
    timer(R .. '|' .. a .. '|' .. num(c.seq) .. '|retry', tonumber(ARGV[14]))
  end
else
  c.state = 'd'
end
local fields = {'c:' .. a, pack_record(c), 'n', num(n)}
if c.state == 'd' then
  for _, v in ipairs({'status', ARGV[17]}) do fields[#fields + 1] = v end
  call('ZREM', DEADLINES, R .. '|0|0|deadline')
end
call('HSET', key, unpack(fields))
if c.state == 'p' then dispatch(ARGV[22], R, a, c.queue, c.timeout) end
return {'ok', 0, held and 1 or 0}
