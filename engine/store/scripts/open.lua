-- R gen a seq nonce offset edits frames place entry k spec timeout base_id base
-- had_signal consumed tpl pages...: writes the transition that opens a chord.
local R, a, seq, nonce = ARGV[1] .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local offset, edits, k, spec = tonumber(ARGV[6]), ARGV[7], ARGV[11], ARGV[12]
local key = S .. 'r:' .. R
local run = fetch(R, a, 'q:' .. a)
local no, c = fence(run, seq, nonce)
if no == 'again' then return {'ok', 0, 0} end
if no then
  if no == 'closed' or no == 'over' then unlease(R, a) end
  return {no}
end
if offset > c.loglen then return {'stale'} end
local chord = unpack_chord(spec)
c.seq, c.frames, c.place, c.state, c.timeout = seq + 1, ARGV[8], ARGV[9], 'j', tonumber(ARGV[13])
c.queue, c.owner, c.last, c.tries, c.lost, c.deadline = ENGINE, '', nonce, 0, 0, 0
c.loglen = offset + #edits
write_base(R, c, ARGV[14], ARGV[15])
write_edits(R, a, offset, edits)
if ARGV[16] == '1' then call('HDEL', key, 's:' .. a) end
if ARGV[17] ~= '' then forget_joins(key, ARGV[17]) end
local items = S .. 'r:' .. R .. ':i:' .. k
if #ARGV == 18 then
  -- Each nonce uploads under a name of its own, so that two uploads do not mix.
  local mine = k .. ':' .. nonce
  if call('EXISTS', S .. 'r:' .. R .. ':i:' .. mine) == 1 then
    call('RENAME', S .. 'r:' .. R .. ':i:' .. mine, items)
    call('SREM', key .. ':u', mine)
  end
else
  call('DEL', items)
  for i = 19, #ARGV, 1000 do call('RPUSH', items, unpack(ARGV, i, math.min(i + 999, #ARGV))) end
end
unlease(R, a)
journal(R, run.n + 1, ARGV[10])
-- A paused run dispatches its lanes too: the claim parks them.
local nxt = send_lanes(ARGV[18], R, k, chord, 0, 0)
call('HSET', key, 'c:' .. a, pack_record(c), 'n', num(run.n + 1), 'k:' .. k, spec,
  'o:' .. k, num(chord.size), 'n:' .. k, num(nxt))
-- Lists the chords that a lane opened, so that they are deleted with the lane.
local around = chord_of(a)
if around then call('HSET', key, 'q:' .. a, (run.extra[1] or '') .. k .. '\n', 'q:' .. around, '1') end
return {'ok', 0, 0}
