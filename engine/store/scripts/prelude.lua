-- Shared by all scripts; only here are records packed and unpacked. A script checks
-- everything before it writes, since Redis does not roll a script back. Names with a dollar
-- sign are constants of engine/store/redis.py, inserted when the scripts are loaded.
local S, ENGINE = '$STATE', '$ENGINE_QUEUE'
-- A generation is replaced when a later one of its run was opened before it had ended.
local FINAL = {done = true, failed = true, cancelled = true, replaced = true}
local sub, find, fmt = string.sub, string.find, string.format
local call = redis.call
-- Scripts measure the time that passed, not the wall clock, which may be set: TIME plus an
-- offset that the steward moves (set_clock.lua). `beat` is the time it wrote last. If the
-- clock is behind that, it was set back, and time stands still until the steward's next
-- correction.
local wall = call('TIME')
local offset, beat = string.match(call('GET', S .. 'clock') or '0 0', '^(%S+) (%S+)$')
local now_us = math.max(wall[1] * 1000000 + wall[2] + offset * 1000, beat * 1000)
local now = math.floor(now_us / 1000)
-- Long after the last beat, either there is no steward or the clock was set forward. The
-- next steward finds out which; timers that are set meanwhile are listed for it.
local in_doubt = beat ~= '0' and now - beat > 2000
-- How long a worker owns an attempt past its deadline: its keeper kills the attempt and
-- reports it 2 s late, and until then it must not count as lost.
local GRACE = $GRACE_MS
local ticks = 0

local function num(n) return fmt('%.0f', n) end

local function unpack_record(s)
  local q = find(s, '\n', 85, true)
  local p = find(s, '\n', q + 1, true)
  return {
    seq = tonumber(sub(s, 1, 8)), owner = sub(s, 9, 20), last = sub(s, 21, 32),
    state = sub(s, 33, 33), tries = tonumber(sub(s, 34, 35)),
    lost = tonumber(sub(s, 36, 37)), deadline = tonumber(sub(s, 38, 50)),
    timeout = tonumber(sub(s, 51, 59)), loglen = tonumber(sub(s, 60, 68)),
    base = sub(s, 69, 84), queue = sub(s, 85, q - 1), place = sub(s, q + 1, p - 1),
    frames = sub(s, p + 1),
  }
end

local function pack_record(c)
  return fmt('%08d%-12s%-12s%s%02d%02d%013.0f%09d%09d%-16s', c.seq, c.owner, c.last,
    c.state, math.min(c.tries, $MAX_COUNT), math.min(c.lost, $MAX_COUNT), c.deadline, c.timeout,
    c.loglen, c.base) .. c.queue .. '\n' .. c.place .. '\n' .. c.frames
end

-- A record before the first claim.
local function new_record(timeout, queue, place, frames)
  return {seq = 0, owner = '', last = '', state = 'p', tries = 0, lost = 0, deadline = 0,
    timeout = timeout, loglen = 0, base = '', queue = queue, place = place, frames = frames}
end

local function new_lane(chord, i)
  return new_record(chord.timeout, chord.queue, chord.place .. '/lane[' .. num(i) .. ']', 'c')
end

-- The address of a chain begins with the addresses of the chords around it.
local function enclosing(a)
  local t, i = {}, 1
  while true do
    local s, e = find(a, '%.k%d+', i)
    if not s then return t end
    t[#t + 1] = sub(a, 1, e)
    i = e + 1
  end
end

-- All keys and members of a run name its generation: `R` is the run, a colon and the
-- generation. Only the run's pointer, `p:` and the run, has the number of the current one.
local function split_key(R) return string.match(R, '^(.*):(%d+)$') end

local function pointer(run) return tonumber(call('GET', S .. 'p:' .. run) or '0') end

local function current(run) return run .. ':' .. num(pointer(run)) end

-- Why a generation that does not exist is refused.
local function missing(R)
  local run, gen = split_key(R)
  local newest = num(pointer(run))
  return newest ~= '0' and newest ~= gen and 'stale' or 'gone'
end

-- Moves the pointer of a run. Whatever still works on the generation before is stopped.
local function point(run, gen)
  local before = S .. 'r:' .. current(run)
  local status = call('HGET', before, 'status')
  if status and not FINAL[status] then call('HSET', before, 'status', 'replaced') end
  call('SET', S .. 'p:' .. run, num(gen))
end

-- Reads status, journal number, one chain, whether a chord around it is closed, and the
-- fields `...` as `extra`, in one HMGET. A generation that is being installed does not
-- exist yet.
local function fetch(R, a, ...)
  local extra = {...}
  local names = {'status', 'n', 'c:' .. a}
  for _, name in ipairs(extra) do names[#names + 1] = name end
  local around = enclosing(a)
  for _, k in ipairs(around) do names[#names + 1] = 'x:' .. k end
  local got = call('HMGET', S .. 'r:' .. R, unpack(names))
  local run = {key = R, status = got[1] ~= 'installing' and got[1], n = tonumber(got[2] or '0'),
               raw = got[3], closed = false, extra = {}}
  for i = 1, #extra do run.extra[i] = got[3 + i] end
  for i = 4 + #extra, #got do if got[i] then run.closed = true end end
  return run
end

local function split(text)
  local t = {}
  for line in string.gmatch(text .. '\n', '(.-)\n') do t[#t + 1] = line end
  return t
end

local function unpack_chord(s)
  local t = split(s)
  return {size = tonumber(t[1]), batch = tonumber(t[2]), window = tonumber(t[3]), parent = t[4],
          queue = t[7], timeout = tonumber(t[8]), mode = t[9], place = t[11]}
end

local function new_ticket()
  ticks = ticks + 1
  return num(now_us + ticks)
end

-- A message is the template of workers/broker/messages.py with its slots filled. Its ticket
-- is the time in microseconds, distinct within a script: it gives both order and age.
-- Without an address, the slots of address and ticket stay.
local function message(tpl, R, a, queue, timeout)
  local run, gen = split_key(R)
  local ticket = a and new_ticket()
  local nl = find(tpl, '\n', 1, true)
  local slots = {R = run, N = gen, A = a, T = ticket, Q = queue,
    L = num(math.ceil(timeout / 1000) + $MESSAGE_NET_S),
    K = queue == ENGINE and 'swarm.advance_run' or 'swarm.run_step'}
  local text = string.gsub(sub(tpl, nl + 1), '%z(%u)', slots)
  return text, ticket, sub(tpl, 1, nl - 1)
end

-- Stores a dead letter (engine/store/dead_letters.py). Number and length are bounded, since
-- nothing else bounds the memory they take.
local DEAD, DEAD_BYTES = $DEAD_KEPT, $DEAD_BYTES
local function bury(source, why, text, size)
  -- Celery's own queues have random names, so the number of sources is bounded too.
  local counts = S .. 'buried'
  local known = call('HEXISTS', counts, source) == 1 or call('HLEN', counts) < DEAD
  call('HINCRBY', counts, known and source or 'others', 1)
  call('LPUSH', S .. 'dead', num(now) .. '\n' .. source .. '\n' .. why .. '\n' .. size .. '\n' .. sub(text, 1, DEAD_BYTES))
  call('LTRIM', S .. 'dead', 0, DEAD - 1)
end

local function displace(key, got, kind, source)
  local text, size = '', 0
  if got == 'string' then text, size = call('GETRANGE', key, 0, DEAD_BYTES), call('STRLEN', key) end
  bury(source, 'a ' .. got .. ' lay where a ' .. kind .. ' belongs', text, num(size))
  call('UNLINK', key)
end

-- A value of another type under a queue's name must not stop a script halfway.
local function push(list, queue, ...)
  local got = redis.pcall('LPUSH', list, ...)
  if type(got) ~= 'table' then return end
  local kind = call('TYPE', list).ok
  if kind == 'list' then error(got.err) end
  displace(list, kind, 'list', queue)
  call('LPUSH', list, ...)
end

-- Parts of the id of a journal entry.
local function split_id(id)
  local ms, number = string.match(id, '^(%d+)%-?(%d*)$')
  return tonumber(ms), tonumber(number) or 0
end

-- The id of the journal entry that this script has written.
local written

-- The id of the newest entry that is not archived, if there is one. What a script sends
-- without an entry of its own follows from an earlier one: a retry from the end of the
-- attempt before it, whose delay may be over before that is archived.
local function newest_unarchived()
  local newest = call('XREVRANGE', S .. 'j', '+', '-', 'COUNT', 1)[1]
  if not newest then return nil end
  local ms, number = split_id(newest[1])
  local till_ms, till_number = split_id(call('GET', S .. 'archived') or '0')
  return (ms > till_ms or (ms == till_ms and number > till_number)) and newest[1] or nil
end

-- A template that begins with `!` has messages wait until that entry is archived; then
-- release.lua sends them. Returns the queue's list for a message that does not wait.
local function unless_waiting(list, queue, ticket, member, text)
  if string.byte(list) ~= 33 then return list end
  list = sub(list, 2)
  written = written or newest_unarchived()
  if not written then return list end
  call('LPUSH', S .. 'unarchived', table.concat({written, list, queue, ticket, member, text}, '\n'))
end

local function dispatch(tpl, R, a, queue, timeout)
  local text, ticket, prefix = message(tpl, R, a, queue, timeout)
  local list = unless_waiting(prefix .. queue, queue, ticket, R .. '|' .. a, text)
  if not list then return end
  call('ZADD', S .. 'd:' .. queue, ticket, R .. '|' .. a)
  call('SADD', S .. 'queues', queue)
  push(list, queue, text)
end

local function journal(R, n, entry)
  local run, gen = split_key(R)
  written = call('XADD', S .. 'j', '*', 'r', run, 'g', gen, 'n', num(n), 'e', entry)
end

local function lease(R, a, lease_ms, deadline)
  local till = now + lease_ms
  if deadline then till = math.min(till, deadline + GRACE) end
  call('ZADD', S .. 'leases', num(till), R .. '|' .. a)
end
local DEADLINES, RETRIES = S .. 't:run', S .. 't'
local function timer(member, wait_ms)
  local timers = sub(member, -9) == '|deadline' and DEADLINES or RETRIES
  call('ZADD', timers, num(now + wait_ms), member)
  if in_doubt then call('SADD', S .. 't:doubt', member) end
end
local function unlease(R, a) call('ZREM', S .. 'leases', R .. '|' .. a) end
local function hold(R, a, queue) call('SADD', S .. 'r:' .. R .. ':h', a .. '|' .. queue) end
local function results_key(R, k) return S .. 'r:' .. R .. ':k:' .. k end
local function log_key(R, a) return S .. 'r:' .. R .. ':l:' .. a end

-- The chord and the span of a batch; nil for a chain.
local function batch_of(a) return string.match(a, '^(.*):(%d+%-%d+)$') end

-- The owner of a chain or a batch, and the end of its lease at the latest.
local function owner_of(R, a, run)
  local k, span = batch_of(a)
  if k then
    local mine = call('HGET', results_key(R, k), 'b:' .. span)
    return mine and sub(mine, 1, 12)
  end
  local c = run.raw and unpack_record(run.raw)
  -- After that an expiry takes the chain from its owner.
  if c and c.state == 'r' and now < c.deadline + GRACE then return c.owner, c.deadline + GRACE end
end

local function chord_of(a)
  local k, i = string.match(a, '^(.*%.k%d+)%.(%d+)$')
  return k, tonumber(i)
end

-- One call deletes at most this many lanes, so that other calls do not wait long. The rest
-- is deleted with the run.
local MAX_LANES, lanes_read = 10000, 0
local forget_chord

local function forget_opened(key, opened, within)
  for k in string.gmatch(opened or '', '[^\n]+') do forget_chord(key, k, within) end
end

-- Deletes the lanes lo to hi that settled or lost, except one, with the chords they opened.
-- `closed`: a decision outside that stays closes everything inside them.
local function forget_lanes(key, k, lo, hi, closed, except)
  for first = lo, hi, 500 do
    if lanes_read >= MAX_LANES then return end
    local names = {}
    for i = first, math.min(first + 499, hi) do
      if i ~= except then
        names[#names + 1] = 'c:' .. k .. '.' .. num(i)
        names[#names + 1] = 'q:' .. k .. '.' .. num(i)
      end
    end
    lanes_read = lanes_read + #names / 2
    local got = #names > 0 and call('HMGET', key, unpack(names)) or {}
    for j = 1, #got, 2 do
      local a = sub(names[j], 3)
      if got[j] then
        local base = unpack_record(got[j]).base
        if base ~= '' then call('HDEL', key .. ':b', base) end
        call('HDEL', key, 'c:' .. a, 's:' .. a, 'e:' .. a, 'w:' .. a)
        call('UNLINK', key .. ':l:' .. a)
      end
      if got[j + 1] then
        call('HDEL', key, 'q:' .. a)
        forget_opened(key, got[j + 1], closed)
      end
    end
  end
end

-- Deletes a chord that nothing refers to. The decision of a single lane stays, since it
-- stops the losers, unless another decision around them (`within`) does.
forget_chord = function(key, k, within)
  local got = call('HMGET', key, 'k:' .. k, 'x:' .. k, 'n:' .. k, 'q:' .. k)
  if within and got[2] then call('HDEL', key, 'x:' .. k) end
  if not got[1] then return end
  local one = got[2] ~= 'all' and tonumber(got[2] or '')
  if one and not got[3] then
    -- The other lanes were deleted when its join was consumed.
    forget_lanes(key, k, one, one, true)
  elseif got[3] or got[4] then
    forget_lanes(key, k, 0, tonumber(got[3] or string.match(got[1], '^%d+')) - 1, within or one)
  end
  local lane = not (within or one) and string.match(k, '^(.*)%.k%d+$')
  local opened = lane and call('HGET', key, 'q:' .. lane)
  local s, e = find('\n' .. (opened or ''), '\n' .. k .. '\n', 1, true)
  if s then call('HSET', key, 'q:' .. lane, sub(opened, 1, s - 1) .. sub(opened, e)) end
  if got[2] == 'all' then call('HDEL', key, 'x:' .. k) end
  call('HDEL', key, 'k:' .. k, 'o:' .. k, 'n:' .. k, 'q:' .. k)
  call('UNLINK', key .. ':i:' .. k, key .. ':k:' .. k)
end

-- Deletes data of chords. The first line names a chord whose join is consumed: its counters
-- and losing lanes. The other lines name chords that nothing refers to: all their data.
local function forget_joins(key, lines)
  for at, k in ipairs(split(lines)) do
    if at > 1 then
      forget_chord(key, k)
    elseif k ~= '' then
      local got = call('HMGET', key, 'x:' .. k, 'n:' .. k)
      if got[1] == 'all' then
        call('HDEL', key, 'x:' .. k)
      elseif got[1] and got[2] then
        forget_lanes(key, k, 0, tonumber(got[2]) - 1, true, tonumber(got[1]))
      end
      call('HDEL', key, 'o:' .. k, 'n:' .. k)
    end
  end
end

-- Whether a call may write: nil if it may, 'again' if the same call has run before (its
-- nonce owns or last owned the chain, and the chain has moved on), else why not.
local function fence(run, seq, nonce)
  if not run.status then return missing(run.key) end
  local c = run.raw and unpack_record(run.raw)
  if c and (c.owner == nonce or c.last == nonce) and c.seq > seq then return 'again', c end
  if FINAL[run.status] then return 'over', c end
  if run.closed then return 'closed', c end
  if not c then return 'gone' end
  if c.state ~= 'r' or c.owner ~= nonce or c.seq ~= seq then return 'stale', c end
  return nil, c
end

-- The reply to a resend of a transition: the claim continues, or the chain was released.
local function moved_again(c, nonce, what)
  if c.owner == nonce then return {'ok', num(c.deadline), 0} end
  return {'ok', 0, (what == 'c' or (what ~= 'w' and c.state == 'h')) and 1 or 0}
end

-- Gives a chain a new base and deletes the one before. Only lanes of an open chord would
-- still read that, and a chain that moves has no open chord.
local function write_base(R, c, id, base)
  if id == '' then return end
  if c.base ~= '' and c.base ~= id then call('HDEL', S .. 'r:' .. R .. ':b', c.base) end
  call('HSET', S .. 'r:' .. R .. ':b', id, base)
  c.base = id
end

local function write_edits(R, a, offset, edits)
  if #edits > 0 then call('SETRANGE', log_key(R, a), offset, edits) end
end

-- Returns the function that makes the message of an address, where many differ only in
-- that: a fanout's lanes would spend most of their time on filling the same slots.
local function messages(tpl, R, queue, timeout)
  local text, _, prefix = message(tpl, R, nil, queue, timeout)
  local parts, places, at = {}, {}, 1
  for s, slot in string.gmatch(text, '()%z(%u)') do
    parts[#parts + 1] = sub(text, at, s - 1)
    parts[#parts + 1] = ''
    places[#parts] = slot
    at = s + 2
  end
  parts[#parts + 1] = sub(text, at)
  return prefix, function(a)
    local ticket = new_ticket()
    for place, slot in pairs(places) do parts[place] = slot == 'T' and ticket or a end
    return table.concat(parts), ticket
  end
end

-- Dispatches lanes from `first` on while fewer than `window` are dispatched and unsettled.
-- Returns the first lane that is not dispatched.
local function send_lanes(tpl, R, k, chord, first, settled)
  local at, till = first, math.min(chord.size, settled + chord.window)
  local function take()
    local lo = at
    at = math.min(lo + chord.batch, chord.size)
    return chord.batch == 1 and (k .. '.' .. lo) or (k .. ':' .. lo .. '-' .. at)
  end
  if at >= till then return at end
  if at + chord.batch >= till or string.byte(tpl) == 33 then
    while at < till do dispatch(tpl, R, take(), chord.queue, chord.timeout) end
    return at
  end
  local key, members, texts = S .. 'd:' .. chord.queue, {}, {}
  local prefix, make = messages(tpl, R, chord.queue, chord.timeout)
  while at < till do
    local a = take()
    texts[#texts + 1], members[#members + 1] = make(a)
    members[#members + 1] = R .. '|' .. a
  end
  for i = 1, #texts, 1000 do
    local last = math.min(i + 999, #texts)
    call('ZADD', key, unpack(members, 2 * i - 1, 2 * last))
    push(prefix .. chord.queue, chord.queue, unpack(texts, i, last))
  end
  call('SADD', S .. 'queues', chord.queue)
  return at
end

-- The mark of a batch is its owner's nonce and its cursor, or `=` and the nonce that settled
-- all of it, `-` and the nonce that released all of it (it can be claimed again), or `x` and
-- a nonce or nothing (its worker died). Nonces are hex, so the first character is enough.
local function batch_free(mark) return not mark or sub(mark, 1, 1) == '-' end
local function batch_over(mark) return sub(mark, 1, 1) == '=' or sub(mark, 1, 1) == 'x' end

-- Closes a chord, and claims its parent's join for `nonce` or parks it in a paused run.
-- Appends to the field values that the caller `writes`; returns the reply.
local function close_chord(run, R, k, chord, why, nonce, lease_ms, writes)
  local raw = call('HGET', S .. 'r:' .. R, 'c:' .. chord.parent)
  local p = unpack_record(raw)
  p.seq, p.tries, p.lost = p.seq + 1, 0, 0
  if run.status == 'paused' then
    p.state, p.owner, p.last = 'h', '', nonce
    hold(R, chord.parent, ENGINE)
    p.queue = ENGINE
  else
    p.state, p.owner, p.last = 'r', nonce, ''
    p.deadline = now + p.timeout
    lease(R, chord.parent, lease_ms, p.deadline)
  end
  local packed = pack_record(p)
  writes[#writes + 1] = 'c:' .. chord.parent
  writes[#writes + 1] = packed
  writes[#writes + 1] = 'x:' .. k
  writes[#writes + 1] = why
  if p.state == 'h' then return {'ok', 0, 1} end
  return {'join', chord.parent, packed}
end

-- The reply to a resend of the call that decided a chord.
local function join_again(R, k, nonce)
  local got = call('HMGET', S .. 'r:' .. R, 'x:' .. k, 'k:' .. k)
  if not (got[1] and got[2]) then return {'ok', 0, 0} end
  local chord = unpack_chord(got[2])
  local raw = call('HGET', S .. 'r:' .. R, 'c:' .. chord.parent)
  if raw then
    local p = unpack_record(raw)
    if p.owner == nonce and p.state == 'r' then return {'join', chord.parent, raw} end
    if p.last == nonce and p.state == 'h' then return {'ok', 0, 1} end
  end
  return {'ok', 0, 0}
end
