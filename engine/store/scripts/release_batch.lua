-- R gen k lo hi nonce cursor tpl
-- Releases a batch: its lanes from the cursor on are dispatched as a batch of their own.
local R, k, nonce, cursor = ARGV[1] .. ':' .. ARGV[2], ARGV[3], ARGV[6], tonumber(ARGV[7])
local span, hi = ARGV[4] .. '-' .. ARGV[5], tonumber(ARGV[5])
local a = k .. ':' .. span
local results = results_key(R, k)
local run = fetch(R, a, 'k:' .. k)
local mine = call('HGET', results, 'b:' .. span)
if not run.status then return {missing(R)} end
if not run.extra[1] then
  unlease(R, a)
  return {run.closed and 'closed' or 'gone'}
end
if not mine then return {'stale'} end
if mine == '=' .. nonce or mine == '-' .. nonce then return {'ok', 0, 0} end
if sub(mine, 1, 12) ~= nonce or tonumber(sub(mine, 13)) ~= cursor then return {'stale'} end
unlease(R, a)
if FINAL[run.status] then return {'over'} end
if run.closed then return {'closed'} end
local chord = unpack_chord(run.extra[1])
-- A batch without a settled lane keeps its address and can be claimed again.
call('HSET', results, 'b:' .. span, (ARGV[4] == num(cursor) and '-' or '=') .. nonce)
if cursor < hi then
  local rest = k .. ':' .. num(cursor) .. '-' .. num(hi)
  if run.status == 'paused' then
    hold(R, rest, chord.queue)
  else
    dispatch(ARGV[8], R, rest, chord.queue, chord.timeout)
  end
end
return {'ok', 0, 0}
