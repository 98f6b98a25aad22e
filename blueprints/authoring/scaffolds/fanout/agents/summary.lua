-- Stands in for a model: _CTX has the whole Ctx of every lane, in the order of the items.
local fine = 0
for _, lane in ipairs(_CTX) do
  if lane.checked.fine then fine = fine + 1 end
end
return { items = #_CTX, fine = fine }
