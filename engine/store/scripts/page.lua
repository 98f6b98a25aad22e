-- after count most: journal entries after an id, at most `count`, until they have `most` bytes
local found, size, last = {}, 0, ARGV[1]
local left, most = tonumber(ARGV[2]), tonumber(ARGV[3])
while left > 0 and size < most do
  -- A few at a time, since each may be as large as a Ctx.
  local some = call('XRANGE', S .. 'j', '(' .. last, '+', 'COUNT', math.min(left, 16))
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    if size < most then
      last, left, found[#found + 1] = entry[1], left - 1, entry
      for _, part in ipairs(entry[2]) do size = size + #part end
    end
  end
end
return found
