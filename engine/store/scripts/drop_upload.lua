-- R name: deletes the items that were uploaded for a chord which does not open.
local key = S .. 'r:' .. ARGV[1]
call('UNLINK', key .. ':i:' .. ARGV[2])
call('SREM', key .. ':u', ARGV[2])
return {'ok'}
