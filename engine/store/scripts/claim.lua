-- R gen a nonce queue lease least [most_s prefix queues...]
-- Claims a chain. With queues, R, gen, a and queue are empty: the script takes the oldest
-- message of the first queue that has one and claims its chain. A message of another
-- program, of a batch, or of an attempt that may take longer than most_s stays in its
-- queue: a worker gets it through Celery, which checks it. An attempt has `least`
-- milliseconds at least, whatever its timeout: a debugger may stop it.
local nonce, lease_ms = ARGV[4], tonumber(ARGV[6])

local function claim(R, a, queue)
  local key = S .. 'r:' .. R
  local k, i = chord_of(a)
  local run = k and fetch(R, a, 'prog', 's:' .. a, 'line', 'k:' .. k) or fetch(R, a, 'prog', 's:' .. a, 'line')
  local chord_raw = run.extra[4] or ''
  local signal = run.extra[2]
  local c = run.raw and unpack_record(run.raw)
  local function answer(c, packed)
    local log = ''
    if c.loglen > 0 then log = call('GETRANGE', log_key(R, a), 0, c.loglen - 1) end
    return {'ok', packed, log, signal or false, run.extra[1], chord_raw, run.extra[3] or 0}
  end
  if c and c.state == 'r' and c.owner == nonce then return answer(c, run.raw) end
  call('ZREM', S .. 'd:' .. queue, R .. '|' .. a)
  call('HDEL', S .. 'again', R .. '|' .. a)
  if not run.status then return {missing(R)} end
  if FINAL[run.status] then return {'over'} end
  if run.closed then return {'closed'} end
  if not c then
    if not k or chord_raw == '' then return {'gone'} end
    if call('HEXISTS', results_key(R, k), i) == 1 then return {'over'} end
    local chord = unpack_chord(chord_raw)
    if i >= chord.size then return {'gone'} end
    c = new_lane(chord, i)
  end
  if c.state ~= 'p' and c.state ~= 's' then return {c.state == 'h' and 'held' or 'taken'} end
  -- A late duplicate of a message must not start a later step on the wrong queue.
  if c.queue ~= queue then return {'taken'} end
  if run.status == 'paused' then
    hold(R, a, c.queue)
    if c.state == 'p' then c.state = 'h' end
    call('HSET', key, 'c:' .. a, pack_record(c))
    return {'held'}
  end
  local attempt = sub(c.frames, 1, 1) == 's' and c.state == 'p'
  if attempt then c.tries = c.tries + 1 end
  if c.state == 's' then c.timeout = math.min(c.timeout, $ENGINE_TIMEOUT_MS) end
  c.state, c.owner, c.deadline = 'r', nonce, now + math.max(c.timeout, ARGV[7])
  local packed = pack_record(c)
  if attempt then
    call('HSET', key, 'c:' .. a, packed, 'n', num(run.n + 1))
    journal(R, run.n + 1, '{"a":"' .. a .. '","s":' .. num(c.seq) .. ',"w":"' .. nonce ..
      '","e":[["started","' .. string.gsub(c.place, '[\\"]', '\\%0') .. '",' .. num(c.tries + c.lost) .. ']]}')
  else
    call('HSET', key, 'c:' .. a, packed)
  end
  lease(R, a, lease_ms, c.deadline)
  return answer(c, packed)
end

if not ARGV[8] then return claim(ARGV[1] .. ':' .. ARGV[2], ARGV[3], ARGV[5]) end

local function taken(run, gen, a, queue)
  local got = claim(run .. ':' .. gen, a, queue)
  if got[1] ~= 'ok' then return nil end
  for _, v in ipairs({run, gen, a}) do got[#got + 1] = v end
  return got
end

-- A resend after a lost reply must get the same chain, not the next one.
local mark = S .. 'took:' .. nonce
local before = call('GET', mark)
if before then return taken(unpack(split(before))) or {'none'} end
local TAG = '"swarm%-ticket:%d+/(%d+)/([%w_-]+)/(%d+)/([%w.]+)"'
local most_s, prefix = tonumber(ARGV[8]), ARGV[9]
local pop = {'LMPOP', num(#ARGV - 9)}
for i = 10, #ARGV do pop[#pop + 1] = prefix .. ARGV[i] end
pop[#pop + 1] = 'RIGHT'
for _ = 1, 8 do
  -- Redis refuses the call if the key of a queue has another type.
  local found = redis.pcall(unpack(pop))
  if not found or found.err then return {'none'} end
  local list, text = found[1], found[2][1]
  local limit, run, gen, a = string.match(text, TAG)
  if not a or limit - $MESSAGE_NET_S > most_s then
    call('RPUSH', list, text)
    return {'none'}
  end
  local queue = sub(list, #prefix + 1)
  call('SET', mark, run .. '\n' .. gen .. '\n' .. a .. '\n' .. queue, 'PX', $TOOK_MS)
  local got = taken(run, gen, a, queue)
  if got then return got end
end
return {'none'}
