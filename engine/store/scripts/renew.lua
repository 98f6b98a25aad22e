-- lease, then R member nonce ...: renews leases. Returns for each of them k (kept), c
-- (cancelled) or s (stale).
local lease_ms, out = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 3 do
  local R, a, nonce = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local run = fetch(R, a)
  local owner, till = owner_of(R, a, run)
  if not run.status or FINAL[run.status] or run.closed then
    out[#out + 1] = 'c'
  elseif owner ~= nonce then
    out[#out + 1] = 's'
  else
    call('ZADD', S .. 'leases', 'XX', num(math.min(till or now + lease_ms, now + lease_ms)), R .. '|' .. a)
    out[#out + 1] = 'k'
  end
end
return out
