-- R gen a nonce queue lease [prefix most_s]
-- With a prefix the chain is that of the queue's next message, which is taken off; R, gen
-- and a are empty. It stays there if it is not ours, a batch, or may take longer.
local nonce, queue, lease_ms = ARGV[4], ARGV[5], tonumber(ARGV[6])

local function claim(R, gen, a)
  local key = S .. 'r:' .. R
  local k, i = chord_of(a)
  local run = k and fetch(R, a, 'prog', 's:' .. a, 'k:' .. k) or fetch(R, a, 'prog', 's:' .. a)
  local chord_raw = run.extra[3] or ''
  local signal = run.extra[2]
  local c = run.raw and unpack_record(run.raw)
  local function answer(c, packed)
    local log = ''
    if c.loglen > 0 then log = call('GETRANGE', log_key(R, a), 0, c.loglen - 1) end
    return {'ok', packed, log, signal or false, run.extra[1], chord_raw}
  end
  if c and c.state == 'r' and c.owner == nonce and run.gen == gen then return answer(c, run.raw) end
  -- The ticket of another generation is not ours; else it has done its work now.
  if run.status and run.gen ~= gen then return {'stale'} end
  call('ZREM', S .. 'd:' .. queue, R .. '|' .. a)
  call('HDEL', S .. 'again', R .. '|' .. a)
  if not run.status then return {'gone'} end
  if FINAL[run.status] then return {'over'} end
  if run.closed then return {'closed'} end
  if not c then
    if not k or chord_raw == '' then return {'gone'} end
    if call('HEXISTS', results_key(R, k), i) == 1 then return {'over'} end
    local chord = unpack_chord(chord_raw)
    if i >= chord.size then return {'gone'} end
    c = {seq = 0, owner = '', last = '', state = 'p', tries = 0, lost = 0, deadline = 0,
      timeout = chord.timeout, loglen = 0, base = '', queue = chord.queue,
      place = chord.place .. '/lane[' .. i .. ']', frames = 'c'}
  end
  if c.state ~= 'p' and c.state ~= 's' then return {c.state == 'h' and 'held' or 'taken'} end
  -- A late double of a message must not start a later step where it does not belong.
  if c.queue ~= queue then return {'taken'} end
  if run.status == 'paused' then
    hold(R, a, c.queue)
    if c.state == 'p' then c.state = 'h' end
    call('HSET', key, 'c:' .. a, pack_record(c))
    return {'held'}
  end
  local attempt = sub(c.frames, 1, 1) == 's' and c.state == 'p'
  if attempt then c.tries = c.tries + 1 end
  if c.state == 's' then c.timeout = math.min(c.timeout, 60000) end
  c.state, c.owner, c.deadline = 'r', nonce, now + c.timeout
  local packed = pack_record(c)
  if attempt then
    call('HSET', key, 'c:' .. a, packed, 'n', num(run.n + 1))
    journal(R, gen, run.n + 1, '{"a":"' .. a .. '","s":' .. num(c.seq) .. ',"w":"' .. nonce ..
      '","e":[["started","' .. string.gsub(c.place, '[\\"]', '\\%0') .. '",' .. num(c.tries + c.lost) .. ']]}')
  else
    call('HSET', key, 'c:' .. a, packed)
  end
  lease(R, a, lease_ms, c.deadline)
  return answer(c, packed)
end

if not ARGV[7] then return claim(ARGV[1], tonumber(ARGV[2]), ARGV[3]) end

local function taken(R, gen, a)
  local got = claim(R, tonumber(gen), a)
  if got[1] ~= 'ok' then return nil end
  for _, v in ipairs({R, gen, a}) do got[#got + 1] = v end
  return got
end

-- Whoever sends this again after a lost reply gets the same chain, not the next one.
local mark = S .. 'took:' .. nonce
local before = call('GET', mark)
if before then return taken(unpack(split(before))) or {'none'} end
local list = ARGV[7] .. queue
local TAG = 'swarm%-ticket:%d+/(%d+)/([^/"]+)/(%d+)/([^/"]+)"'
for _ = 1, 8 do
  local text = call('LINDEX', list, -1)
  if not text then return {'none'} end
  local limit, R, gen, a = string.match(text, TAG)
  if not a or find(a, ':', 1, true) or limit - NET_S > tonumber(ARGV[8]) then
    return {'none'}
  end
  call('RPOP', list)
  call('SET', mark, R .. '\n' .. gen .. '\n' .. a, 'PX', 30000)
  local got = taken(R, gen, a)
  if got then return got end
end
return {'none'}
