-- R gen a seq nonce outcome tpl: records the outcome of an attempt.
local R, a, seq, nonce = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local key = S .. 'r:' .. R
local run = fetch(R, a, 's:' .. a)
local c = run.raw and unpack_record(run.raw)
if not run.status then return {missing(R) == 'stale' and 'over' or 'gone'} end
if FINAL[run.status] or run.closed or not c then return {'over'} end
if run.extra[1] and c.seq == seq then
  return {run.extra[1] == ARGV[6] and 'ok' or 'decided'}
end
if c.seq ~= seq then return {'over'} end
if not (c.state == 'w' or (c.state == 'r' and nonce ~= '' and c.owner == nonce)) then return {'over'} end
unlease(R, a)
call('ZREM', RETRIES, R .. '|' .. a .. '|' .. num(seq) .. '|retry')
-- The worker that released a waiting chain may resend that call; one whose attempt ends
-- here may not continue.
if c.state == 'r' then c.last = '' end
c.state, c.owner, c.queue = 's', '', ENGINE
call('HSET', key, 'c:' .. a, pack_record(c), 's:' .. a, ARGV[6])
if run.status == 'paused' then
  hold(R, a, ENGINE)
else
  dispatch(ARGV[7], R, a, ENGINE, $ENGINE_TIMEOUT_MS)
end
return {'ok'}
