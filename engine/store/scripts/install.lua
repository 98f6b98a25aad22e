-- run gen token what ...: writes a part of a generation that does not move yet. Every
-- other script but its removal takes it for one that does not exist. `token` names its
-- data: a call with another token is refused, and one that is sent again writes the same.
--   begin FIELD VALUE...             creates it
--   hash FIELD VALUE...              fields of its hash; later calls need those of chains
--                                    and chords, by which a removal finds the other keys
--   base FIELD VALUE...              its program and bases
--   log ADDR OFFSET BYTES            a part of the edit log of a chain
--   items CHORD AT PAGES...          pages of items, if there are `at` of them
--   results CHORD FIELD VALUE...     settled lanes
--   held MEMBERS...                  what it dispatches first, as a resume does
local token, what = ARGV[3], ARGV[4]
local R = ARGV[1] .. ':' .. ARGV[2]
local key = S .. 'r:' .. R
local was = call('HMGET', key, 'status', 'token')
if pointer(ARGV[1]) >= tonumber(ARGV[2]) then return {was[1] or 'stale'} end
if was[1] and (was[1] ~= 'installing' or was[2] ~= token) then return {'taken'} end
if not was[1] and what ~= 'begin' then return {'gone'} end
-- Fewer values in a call than `unpack` can take.
local function pairs_into(name, first)
  for i = first, #ARGV, 1000 do call('HSET', name, unpack(ARGV, i, math.min(i + 999, #ARGV))) end
end
if what == 'begin' then
  call('SADD', S .. 'installing', R)
  call('HSET', key, 'status', 'installing', 'token', token)
  pairs_into(key, 5)
elseif what == 'hash' then
  pairs_into(key, 5)
elseif what == 'base' then
  pairs_into(key .. ':b', 5)
elseif what == 'log' then
  call('SETRANGE', log_key(R, ARGV[5]), tonumber(ARGV[6]), ARGV[7])
elseif what == 'items' then
  local items = key .. ':i:' .. ARGV[5]
  if call('LLEN', items) == tonumber(ARGV[6]) then call('RPUSH', items, unpack(ARGV, 7)) end
elseif what == 'results' then
  pairs_into(results_key(R, ARGV[5]), 6)
else
  for i = 5, #ARGV, 1000 do call('SADD', key .. ':h', unpack(ARGV, i, math.min(i + 999, #ARGV))) end
end
return {'ok'}
