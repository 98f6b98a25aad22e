-- mark keep_ms: notes that the journal is archived up to and including the entry `mark`,
-- and drops what of that is older than keep_ms.
-- Entries have their ids from the wall clock, so that is what their age is measured by.
-- A mark before the one that is noted is late: whoever brings it read it a while ago.
local function place(mark)
  local ms, number = string.match(mark, '^(%d+)%-?(%d*)$')
  return tonumber(ms), tonumber(number) or 0
end
local ms, number = place(ARGV[1])
local since = wall[1] * 1000 + math.floor(wall[2] / 1000) - tonumber(ARGV[2])
local was_ms, was_number = place(call('GET', S .. 'archived') or '0')
if was_ms > ms or (was_ms == ms and was_number > number) then
  ms, number = was_ms, was_number
else
  call('SET', S .. 'archived', ARGV[1])
end
if ARGV[2] ~= '0' and ms > since then ms, number = since, 0 end
call('XTRIM', S .. 'j', 'MINID', num(ms) .. '-' .. num(number + 1))
return {'ok'}
