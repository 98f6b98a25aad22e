-- The most frequent words of all paragraphs: _CTX is {top, counted}.

local totals, words = {}, 0
for _, paragraph in ipairs(_CTX.counted) do
  words = words + paragraph.words
  for word, count in pairs(paragraph.counts) do
    totals[word] = (totals[word] or 0) + count
  end
end
emit.progress("counted", #_CTX.counted .. " paragraphs")

local ranked = json.array()
for word, count in pairs(totals) do
  ranked[#ranked + 1] = { word = word, count = count }
end
table.sort(ranked, function(a, b)
  if a.count ~= b.count then return a.count > b.count end
  return a.word < b.word
end)
print(#ranked .. " different words")

local top = json.array()
for n = 1, math.min(_CTX.top, #ranked) do
  top[n] = ranked[n]
end
return { words = words, different = #ranked, top = top }
