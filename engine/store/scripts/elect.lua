-- who ttl seen: takes or keeps the steward's lock; ttl 0 releases it. Returns the fencing
-- number (-1 if another steward has the lock) and the stored clock. If the clock is still
-- `seen` after a wait of the caller, the owner of the lock is dead: its key may outlive it
-- when the wall clock was set back.
local who, ttl, seen = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = S .. 'steward'
local owner, clock = call('GET', key), call('GET', S .. 'clock') or ''
if owner and owner ~= who and (seen == '' or seen ~= clock) then return {-1, clock} end
if ttl == 0 then
  call('DEL', key)
  return {-1, clock}
end
if owner ~= who then
  call('SET', key, who, 'PX', ttl)
  return {call('INCR', S .. 'steward:fence'), clock}
end
call('PEXPIRE', key, ttl)
return {tonumber(call('GET', S .. 'steward:fence') or '0'), clock}
