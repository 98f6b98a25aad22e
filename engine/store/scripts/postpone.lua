-- R gen a seq nonce delay outcome entry: gives back a transition that can't be made now.
-- The chain takes it up again after `delay`, under the same sequence number. An attempt
-- that has ended keeps its outcome; one that has not started is not charged.
local R, a, seq, nonce = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local outcome, entry = ARGV[7], ARGV[8]
local key = S .. 'r:' .. R
local run = fetch(R, a, 's:' .. a)
local no, c = fence(run, seq, nonce)
-- Any other release moves the sequence number on, so this is a resend.
if c and c.last == nonce and c.seq == seq then return {'ok', 0, 0} end
if no then
  if no == 'closed' or no == 'over' then unlease(R, a) end
  return {no == 'again' and 'stale' or no}
end
local fields, n = {}, run.n
if outcome ~= '' then fields = {'s:' .. a, outcome} end
if outcome ~= '' or run.extra[1] then
  c.queue = ENGINE
elseif sub(c.frames, 1, 1) == 's' then
  entry = '{"a":"' .. a .. '","s":' .. num(c.seq) .. ',"w":"' .. nonce .. '","e":[["postponed","' ..
    string.gsub(c.place, '[\\"]', '\\%0') .. '",' .. num(c.tries + c.lost) .. ']]}'
  c.tries = math.max(0, c.tries - 1)
end
if entry ~= '' then
  n = n + 1
  journal(R, n, entry)
end
c.owner, c.last, c.deadline, c.state = '', nonce, 0, 'w'
unlease(R, a)
timer(R .. '|' .. a .. '|' .. num(seq) .. '|retry', tonumber(ARGV[6]))
call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(n), unpack(fields))
return {'ok', 0, 0}
