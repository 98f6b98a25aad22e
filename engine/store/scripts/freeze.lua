-- R: ends a generation that lags behind the archive; every script refuses it from now on.
local key = S .. 'r:' .. ARGV[1]
local status = call('HGET', key, 'status')
if status and not FINAL[status] then call('HSET', key, 'status', 'replaced') end
call('ZREM', DEADLINES, ARGV[1] .. '|0|0|deadline')
return {'ok'}
