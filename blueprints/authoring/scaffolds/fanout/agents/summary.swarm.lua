-- Stands in for a model: _CTX has the answer of the checker in every lane, in the order of the items.
local fine = 0
for _, checked in ipairs(_CTX) do
  if checked.fine then fine = fine + 1 end
end
return { items = #_CTX, fine = fine }
