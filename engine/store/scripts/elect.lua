-- who ttl; ttl 0 gives the lock up. Answers the fencing number, -1 if another holds it.
local who, ttl = ARGV[1], tonumber(ARGV[2])
local key = S .. 'steward'
local holder = call('GET', key)
if holder and holder ~= who then return {-1} end
if ttl == 0 then
  call('DEL', key)
  return {-1}
end
if not holder then
  call('SET', key, who, 'PX', ttl)
  return {call('INCR', S .. 'steward:fence')}
end
call('PEXPIRE', key, ttl)
return {tonumber(call('GET', S .. 'steward:fence') or '0')}
