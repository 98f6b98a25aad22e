-- R ttl: what stays of a removed run, so that a late start does not begin it again.
local key = S .. 'r:' .. ARGV[1]
local was = call('HMGET', key, 'status', 'gen', 'gone')
if not was[1] or was[3] then return {'ok'} end
call('DEL', key)
call('HSET', key, 'status', was[1], 'gen', was[2], 'n', 0, 'gone', 1)
call('PEXPIRE', key, tonumber(ARGV[2]))
return {'ok'}
