-- R gen a seq nonce mark entry: writes the output of a running attempt to the journal;
-- changes nothing else. `a` is a chain or a batch. `mark` is distinct for each call of a
-- nonce, so that the script recognises a resend.
local R, a, nonce, mark = ARGV[1] .. ':' .. ARGV[2], ARGV[3], ARGV[5], ARGV[5] .. ARGV[6]
local key = S .. 'r:' .. R
local run = fetch(R, a, 'e:' .. a)
if run.status and run.extra[1] == mark then return {'ok'} end
local k, span = batch_of(a)
if k then
  if not run.status then return {missing(R)} end
  local mine = call('HGET', results_key(R, k), 'b:' .. span)
  if (mine and sub(mine, 1, 12) ~= nonce) or not (mine or run.closed) then return {'stale'} end
  if FINAL[run.status] then return {'over'} end
  if run.closed then return {'closed'} end
else
  local no = fence(run, tonumber(ARGV[4]), nonce)
  if no == 'closed' or no == 'over' then unlease(R, a) end
  if no then return {no == 'again' and 'stale' or no} end
end
call('HSET', key, 'n', num(run.n + 1), 'e:' .. a, mark)
journal(R, run.n + 1, ARGV[7])
return {'ok'}
