-- R ttl n ('' = whatever): what stays of a removed run, so that a late start does not
-- begin it again. With n only if that is the number of its last journal entry.
local key = S .. 'r:' .. ARGV[1]
local was = call('HMGET', key, 'status', 'gen', 'gone', 'n')
if not was[1] or was[3] then return {'ok'} end
if ARGV[3] ~= '' and was[4] ~= ARGV[3] then return {'kept'} end
local names = {key, key .. ':b', key .. ':h', key .. ':u', key .. ':l:0'}
for _, k in ipairs(call('SMEMBERS', key .. ':u')) do names[#names + 1] = key .. ':i:' .. k end
for _, field in ipairs(call('HKEYS', key)) do
  local what, a = sub(field, 1, 2), sub(field, 3)
  if what == 'c:' then
    names[#names + 1] = key .. ':l:' .. a
  elseif what == 'k:' then
    names[#names + 1] = key .. ':i:' .. a
    names[#names + 1] = key .. ':k:' .. a
  end
end
for i = 1, #names, 1000 do call('UNLINK', unpack(names, i, math.min(i + 999, #names))) end
call('HSET', key, 'status', was[1], 'gen', was[2], 'n', 0, 'gone', 1)
call('PEXPIRE', key, tonumber(ARGV[2]))
return {'ok'}
