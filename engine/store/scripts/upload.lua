-- R name at pages...
-- Appends only where the list is as long as the caller believes, so a resend adds nothing.
local items = S .. 'r:' .. ARGV[1] .. ':i:' .. ARGV[2]
local at = tonumber(ARGV[3])
-- Should the chord never open, removal finds its items by this set.
call('SADD', S .. 'r:' .. ARGV[1] .. ':u', ARGV[2])
if call('LLEN', items) == at then call('RPUSH', items, unpack(ARGV, 4)) end
return {'ok'}
