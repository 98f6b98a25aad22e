-- after count most: journal entries after an id, at most `count`, until they have `most` bytes
local found, size, last, most = {}, 0, ARGV[1], tonumber(ARGV[3])
while #found < tonumber(ARGV[2]) and size < most do
  -- One by one, since each may be as large as a Ctx.
  local entry = call('XRANGE', S .. 'j', '(' .. last, '+', 'COUNT', 1)[1]
  if not entry then break end
  last, found[#found + 1] = entry[1], entry
  for _, part in ipairs(entry[2]) do size = size + #part end
end
return found
