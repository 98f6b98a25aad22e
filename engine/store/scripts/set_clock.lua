-- noted offset now shift lease: the steward notes that the time is `now` by an offset to
-- TIME, if nobody else has since it read `noted`. `shift` (not above 0) is by how much the
-- clock was set forward: what was timed by that is set right.
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
