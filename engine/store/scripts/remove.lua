-- R ttl n cursor portion: removes a generation; with n only if it is final or not opened
-- yet, and n is the number of its last journal entry. A short hash stays for ttl, so that a
-- late start does not begin it again. Each call removes the keys of a portion of its fields, from
-- `cursor` on, and returns the next cursor.
local key = S .. 'r:' .. ARGV[1]
local old = key .. ':old'
if ARGV[4] == '0' then
  local was = call('HMGET', key, 'status', 'gone', 'n')
  if was[1] and not was[2] then
    local rests = FINAL[was[1]] or was[1] == 'installing'
    if ARGV[3] ~= '' and (was[3] ~= ARGV[3] or not rests) then return {'kept', '0'} end
    call('RENAME', key, old)
    call('HSET', key, 'status', was[1], 'n', 0, 'gone', 1)
    call('PEXPIRE', key, tonumber(ARGV[2]))
    local run, gen = split_key(ARGV[1])
    if call('GET', S .. 'p:' .. run) == gen then call('PEXPIRE', S .. 'p:' .. run, tonumber(ARGV[2])) end
    call('SADD', S .. 'removing', ARGV[1])
    call('SREM', S .. 'installing', ARGV[1])
  elseif call('EXISTS', old) == 0 then
    return {'ok', '0'}
  end
end
local got = call('HSCAN', old, ARGV[4], 'COUNT', tonumber(ARGV[5]))
local names = {}
for i = 1, #got[2], 2 do
  local what, a = sub(got[2][i], 1, 2), sub(got[2][i], 3)
  if what == 'c:' then
    names[#names + 1] = key .. ':l:' .. a
  elseif what == 'k:' then
    names[#names + 1] = key .. ':i:' .. a
    names[#names + 1] = key .. ':k:' .. a
  end
end
if got[1] == '0' then
  for _, k in ipairs(call('SMEMBERS', key .. ':u')) do names[#names + 1] = key .. ':i:' .. k end
  for _, name in ipairs({old, key .. ':b', key .. ':h', key .. ':u', key .. ':l:0'}) do
    names[#names + 1] = name
  end
  call('SREM', S .. 'removing', ARGV[1])
end
-- UNLINK frees large values in another thread.
for i = 1, #names, 1000 do call('UNLINK', unpack(names, i, math.min(i + 999, #names))) end
return {'ok', got[1]}
