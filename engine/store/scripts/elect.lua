-- who ttl seen; ttl 0 gives the lock up. Answers the fencing number, -1 if another holds
-- it, and what its holder last noted in the clock. Where that is `seen` still, after a
-- wait of the caller's own, the holder is gone: its key may live on if the clock was set
-- back.
local who, ttl, seen = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = S .. 'steward'
local holder, noted = call('GET', key), call('GET', S .. 'clock') or ''
if holder and holder ~= who and (seen == '' or seen ~= noted) then return {-1, noted} end
if ttl == 0 then
  call('DEL', key)
  return {-1, noted}
end
if holder ~= who then
  call('SET', key, who, 'PX', ttl)
  return {call('INCR', S .. 'steward:fence'), noted}
end
call('PEXPIRE', key, ttl)
return {tonumber(call('GET', S .. 'steward:fence') or '0'), noted}
