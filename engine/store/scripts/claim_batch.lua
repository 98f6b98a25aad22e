-- R gen k lo hi nonce queue lease: claims a batch.
local R, k, lo, hi = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local nonce, queue = ARGV[6], ARGV[7]
local a = k .. ':' .. ARGV[4] .. '-' .. ARGV[5]
local key, results = S .. 'r:' .. R, results_key(R, k)
local run = fetch(R, a, 'prog', 'k:' .. k, 'line')
local mine = call('HGET', results, 'b:' .. ARGV[4] .. '-' .. ARGV[5])
local function answer(cursor)
  local page = call('LINDEX', S .. 'r:' .. R .. ':i:' .. k, math.floor(lo / $ITEM_PAGE))
  return {'ok', run.extra[2], num(cursor), page or '[]', run.extra[1], run.extra[3] or 0}
end
call('ZREM', S .. 'd:' .. queue, R .. '|' .. a)
call('HDEL', S .. 'again', R .. '|' .. a)
if not run.status then return {missing(R)} end
if FINAL[run.status] then return {'over'} end
if run.closed then return {'closed'} end
if not run.extra[2] then return {'gone'} end
if not batch_free(mine) then
  if sub(mine, 1, 12) == nonce then return answer(tonumber(sub(mine, 13))) end
  return {batch_over(mine) and 'over' or 'taken'}
end
if run.status == 'paused' then
  hold(R, a, queue)
  return {'held'}
end
call('HSET', results, 'b:' .. ARGV[4] .. '-' .. ARGV[5], nonce .. num(lo))
lease(R, a, tonumber(ARGV[8]))
return answer(lo)
