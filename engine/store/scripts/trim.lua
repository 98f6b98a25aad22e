-- mark keep_ms: notes that the journal is archived up to and including the entry `mark`,
-- and drops what of that is older than keep_ms.
local ms, number = string.match(ARGV[1], '^(%d+)%-?(%d*)$')
local keep = tonumber(ARGV[2])
call('SET', S .. 'archived', ARGV[1])
if keep > 0 and tonumber(ms) > now - keep then ms, number = num(now - keep), '0' end
call('XTRIM', S .. 'j', 'MINID', ms .. '-' .. num((tonumber(number) or 0) + 1))
return {'ok'}
