-- lease, then R member nonce ... ; answers k kept, c cancelled, s not ours
local lease_ms, out = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 3 do
  local R, a, nonce = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local run = fetch(R, a)
  local k, span = string.match(a, '^(.*):(%d+%-%d+)$')
  local owner, till = nil, now + lease_ms
  if k then
    owner = call('HGET', results_key(R, k), 'b:' .. span)
    owner = owner and sub(owner, 1, 12)
  elseif run.raw then
    local c = unpack_record(run.raw)
    -- Past that an expiry takes it at once, whoever holds it: none may go on with it.
    if c.state == 'r' and now < c.deadline + GRACE then
      owner, till = c.owner, math.min(till, c.deadline + GRACE)
    end
  end
  if not run.status or FINAL[run.status] or run.closed then
    out[#out + 1] = 'c'
  elseif owner ~= nonce then
    out[#out + 1] = 's'
  else
    call('ZADD', S .. 'leases', 'XX', num(till), R .. '|' .. a)
    out[#out + 1] = 'k'
  end
end
return out
