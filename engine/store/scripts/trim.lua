-- upto keep_ms: records that the journal is archived up to and including the entry `upto`,
-- and deletes those entries that are older than keep_ms. Their ids are wall clock times.
-- An `upto` before the recorded one comes from a late call and does not move that back.
local ms, number = split_id(ARGV[1])
local since = wall[1] * 1000 + math.floor(wall[2] / 1000) - tonumber(ARGV[2])
local was_ms, was_number = split_id(call('GET', S .. 'archived') or '0')
if was_ms > ms or (was_ms == ms and was_number > number) then
  ms, number = was_ms, was_number
else
  call('SET', S .. 'archived', ARGV[1])
end
if ARGV[2] ~= '0' and ms > since then ms, number = since, 0 end
call('XTRIM', S .. 'j', 'MINID', num(ms) .. '-' .. num(number + 1))
return {'ok'}
