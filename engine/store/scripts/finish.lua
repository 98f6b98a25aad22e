-- R status entry tombstone_ms: ends a run from outside; a run that does not exist gets a
-- tombstone, so that it never starts.
local R, status = ARGV[1], ARGV[2]
local key = S .. 'r:' .. R
local run = fetch(R, '0')
if not run.status then
  call('HSET', key, 'status', status, 'gen', 0, 'n', 0)
  call('PEXPIRE', key, tonumber(ARGV[4]))
  return {'ok'}
end
if FINAL[run.status] then return {run.status == status and 'ok' or run.status} end
call('HSET', key, 'status', status, 'n', num(run.n + 1))
call('ZREM', DEADLINES, R .. '|' .. run.gen .. '|0|0|deadline')
journal(R, run.gen, run.n + 1, ARGV[3])
return {'ok'}
