-- run gen status entry tombstone_ms: ends a generation from outside; one that does not
-- exist yet gets a tombstone, so that it never starts.
local run_id, gen, status = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local newest, R = pointer(run_id), run_id .. ':' .. num(gen)
local key = S .. 'r:' .. R
if newest > gen then return {'stale'} end
local run = fetch(R, '0')
if newest < gen or not run.status then
  point(run_id, gen)
  call('HSET', key, 'status', status, 'n', 0)
  for _, name in ipairs({key, S .. 'p:' .. run_id}) do call('PEXPIRE', name, tonumber(ARGV[5])) end
  return {'ok'}
end
if FINAL[run.status] then return {run.status == status and 'ok' or run.status} end
call('HSET', key, 'status', status, 'n', num(run.n + 1))
call('ZREM', DEADLINES, R .. '|0|0|deadline')
journal(R, run.n + 1, ARGV[4])
return {'ok'}
