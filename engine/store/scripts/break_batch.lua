-- R gen k lo hi nonce lane outcome entry tpl
-- Gives the lane that a worker ran last its outcome, and dispatches each other lane alone.
local R, k, nonce, lane = ARGV[1] .. ':' .. ARGV[2], ARGV[3], ARGV[6], tonumber(ARGV[7])
local span, hi = ARGV[4] .. '-' .. ARGV[5], tonumber(ARGV[5])
local a = k .. ':' .. span
local key, results = S .. 'r:' .. R, results_key(R, k)
local run = fetch(R, a, 'k:' .. k)
local mine = call('HGET', results, 'b:' .. span)
if not run.status then return {missing(R)} end
if not run.extra[1] then
  unlease(R, a)
  return {run.closed and 'closed' or 'gone'}
end
if mine == 'x' .. nonce then return {'ok', 0, 0} end
if not mine or sub(mine, 1, 12) ~= nonce then return {'stale'} end
unlease(R, a)
if FINAL[run.status] then return {'over'} end
if run.closed then return {'closed'} end
local chord = unpack_chord(run.extra[1])
local cursor = tonumber(sub(mine, 13))
call('HSET', results, 'b:' .. span, 'x' .. nonce)
for i = cursor, hi - 1 do
  local at = k .. '.' .. num(i)
  if i == lane then
    local c = new_lane(chord, i)
    c.state, c.tries, c.queue = 's', 1, ENGINE
    call('HSET', key, 'c:' .. at, pack_record(c), 's:' .. at, ARGV[8])
    dispatch(ARGV[10], R, at, ENGINE, $ENGINE_TIMEOUT_MS)
  else
    dispatch(ARGV[10], R, at, chord.queue, chord.timeout)
  end
end
journal(R, run.n + 1, ARGV[9])
call('HSET', key, 'n', num(run.n + 1))
return {'ok', 0, 0}
