-- stored offset now shift lease: writes the clock: the time is `now`, and TIME plus
-- `offset` counts on from there. Does nothing if another steward wrote the clock since it
-- was read as `stored`. `shift` (0 or less) is how far the wall clock was set forward:
-- leases and timers that were set meanwhile are moved back by it.
if (call('GET', S .. 'clock') or '') ~= ARGV[1] then return {0} end
local till, shift = ARGV[3] + ARGV[5], tonumber(ARGV[4])
call('SET', S .. 'clock', ARGV[2] .. ' ' .. ARGV[3])
if shift < 0 then
  for _, member in ipairs(call('ZRANGEBYSCORE', S .. 'leases', '(' .. num(till), '+inf')) do
    call('ZADD', S .. 'leases', num(till), member)
  end
  for _, member in ipairs(call('SMEMBERS', S .. 't:doubt')) do
    for _, timers in ipairs({DEADLINES, RETRIES}) do
      if call('ZSCORE', timers, member) then call('ZINCRBY', timers, num(shift), member) end
    end
  end
end
call('UNLINK', S .. 't:doubt')
return {1}
