-- R name at pages...: stores items of a chord before it opens.
-- It appends only if the list has `at` pages, so that a resend adds nothing.
local items = S .. 'r:' .. ARGV[1] .. ':i:' .. ARGV[2]
local at = tonumber(ARGV[3])
-- If the chord never opens, the removal of the run finds its items in this set.
call('SADD', S .. 'r:' .. ARGV[1] .. ':u', ARGV[2])
if call('LLEN', items) == at then call('RPUSH', items, unpack(ARGV, 4)) end
return {'ok'}
