-- Functions of both DSL modules: errors with the author's line, and checks of arguments.

local M = {}

local error, pcall, pairs, ipairs, type = error, pcall, pairs, ipairs, type
local tostring, tonumber = tostring, tonumber
local setmetatable, getmetatable = setmetatable, getmetatable
local format, find, concat = string.format, string.find, table.concat
local pack, unpack, min, abs = table.pack, table.unpack, math.min, math.abs
local math_type, tointeger = math.type, math.tointeger
local select = select
local json = json

local MAX_DEPTH = 127
local fault_mt = {}
-- The line of the call that made each table; only while lines are noted.
local lines

-- Raises an error; `where` is the author's line if it is not the line of the current call.
function M.fail(where, text, ...)
  if select("#", ...) > 0 then text = format(text, ...) end
  error(setmetatable({ where = where or false, text = text }, fault_mt), 0)
end
local fail = M.fail

-- Returns a function whose errors have the line of its caller.
function M.public(fn)
  return function(...)
    local got = pack(pcall(fn, ...))
    if got[1] then
      if lines then
        local _, where = pcall(error, "", 3)
        M.note(got[2], where)
      end
      return unpack(got, 2, got.n)
    end
    local fault = got[2]
    if getmetatable(fault) ~= fault_mt then error(fault, 0) end
    if fault.where then error(fault.where .. fault.text, 0) end
    error(fault.text, 2)
  end
end

-- Notes the author's line (`FILE:LINE: `) of a table, if lines are noted. A call behind
-- `return` at the end of a script has no line of the author's.
function M.note(made, where)
  if lines and type(made) == "table" and not find(where, "^dsl_checks:") then
    lines[made] = lines[made] or tonumber(where:match(":(%d+): $"))
  end
end

-- Returns a list of {keys, line} for the tables of a script's document that a call made.
function M.noted_lines(script)
  lines = setmetatable({}, { __mode = "k" })
  local found = {}
  local function walk(value, keys)
    if type(value) ~= "table" or #keys > MAX_DEPTH then return end
    if lines[value] then
      local copy = table.move(keys, 1, #keys, 1, {})
      found[#found + 1] = json.array({ json.array(copy), lines[value] })
    end
    for key, part in pairs(value) do
      keys[#keys + 1] = math_type(key) and key - 1 or key
      walk(part, keys)
      keys[#keys] = nil
    end
  end
  walk(script(), {})
  return json.array(found)
end

-- Returns the author's line, two callers above this function, as `FILE:LINE: `.
function M.line()
  local _, where = pcall(error, "", 4)
  return where
end

function M.show(value)
  if type(value) == "string" then return format("%q", value) end
  if type(value) == "table" then return "a table" end
  if type(value) == "function" then return "a function" end
  return tostring(value)
end
local show = M.show

-- Returns the number of letters by which two words differ.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local corner = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + cost)
    end
  end
  return row[#b]
end

-- Returns the distance of a word to a name if it may stand for the name: a beginning or
-- continuation of it, or a typing error away. Returns nil for any other word.
local function near(word, name)
  if find(name, word, 1, true) == 1 and #word > 2 then return 0 end
  if find(word, name, 1, true) == 1 then return 0 end
  local most = #name < 5 and 1 or 2
  if #word > 64 or abs(#name - #word) > most then return end
  local apart = distance(word, name)
  return apart <= most and apart or nil
end

-- Returns a hint at the nearest of the known words, or the list of them.
function M.nearest(word, known)
  local best, least
  for _, name in ipairs(known) do
    local apart = near(word, name)
    if apart and (not least or apart < least) then best, least = name, apart end
  end
  if best then return format("did you mean '%s'?", best) end
  return "known: " .. concat(known, ", ")
end

-- Raises an error unless `given` is a table with known fields and all required ones.
-- `listed` allows list members beside the fields.
function M.fields(at, what, given, known, required, listed)
  if type(given) ~= "table" then fail(at, "%s: expected a table, got %s", what, show(given)) end
  local allowed = {}
  for _, name in ipairs(known) do allowed[name] = true end
  for key in pairs(given) do
    if type(key) ~= "string" then
      if not listed then fail(at, "%s: expected fields with names, got a list", what) end
    elseif not allowed[key] then
      fail(at, "%s: unknown field '%s'; %s", what, key, M.nearest(key, known))
    end
  end
  for _, name in ipairs(required) do
    if given[name] == nil then
      fail(at, "%s: missing field '%s'; a misspelt name is nil", what, name)
    end
  end
end

-- Returns the length of the list in a table. A hole is an error: most often it is the nil
-- of a misspelt name.
function M.length(at, what, given, member)
  if type(given) ~= "table" then fail(at, "%s: expected a list, got %s", what, show(given)) end
  local count, highest = 0, 0
  for key in pairs(given) do
    if math_type(key) == "integer" and key > 0 then
      count = count + 1
      if key > highest then highest = key end
    end
  end
  if count < highest then
    local hole = 1
    while given[hole] ~= nil do hole = hole + 1 end
    fail(at, "%s: %s %d is nil", what, member, hole)
  end
  return count
end

-- Returns a copy marked as an array, so that an empty list stays one, and its length.
-- Other keys are errors.
function M.list(at, what, given, member)
  local count = M.length(at, what, given, member)
  local copy = {}
  for key, value in pairs(given) do
    if math_type(key) ~= "integer" or key < 1 then
      fail(at, "%s: expected a list, but it has the key %s", what, show(key))
    end
    copy[key] = value
  end
  return json.array(copy), count
end

-- Returns a whole number of at least 0.
function M.whole(at, what, value)
  local number = type(value) == "number" and tointeger(value) or nil
  if not number or number < 0 then
    fail(at, "%s must be a whole number of at least 0, got %s", what, show(value))
  end
  return number
end

function M.text(at, what, value)
  if type(value) ~= "string" or value == "" then
    fail(at, "%s must be a text that is not empty, got %s", what, show(value))
  end
  return value
end

-- Checks an id, which is a key of the Ctx and a value of `halted_at`.
function M.id(at, what, id)
  if find(id, '[%.%[%]"%s%c]') or find(id, "'", 1, true) then
    fail(at, "%s %s: an id is one key of a path: no dots, brackets, quotes or spaces", what, show(id))
  end
end

-- Returns the keys of a path in any spelling; indices are numbers.
local function keys_of(path)
  local keys, _, last = {}, find(path, "^%$")
  if not last then _, last = find(path, "^ctx") end
  while last do
    local from, key = last + 1, nil
    _, last, key = find(path, '^%.?%["([^"]+)"%]', from)
    if not last then
      _, last, key = find(path, "^%.?%[(%-?%d+)%]", from)
      key = tonumber(key)
    end
    if not last then _, last, key = find(path, "^%.([^%.%[]+)", from) end
    keys[#keys + 1] = key
  end
  return keys
end

-- Returns "above ", "" or "below " if a path is above, at or below another, else nil. The
-- root of the Ctx overlaps with nothing.
local function side_of(keys, other)
  local most = min(#keys, #other)
  if most == 0 then return end
  for n = 1, most do
    if keys[n] ~= other[n] then return end
  end
  return #keys < #other and "above " or #keys > #other and "below " or ""
end

-- Returns the name of the first place that a path overlaps with, and the side. A path
-- below a shared place does not overlap with it.
function M.overlap(path, places)
  local keys = keys_of(path)
  for _, place in ipairs(places) do
    local side = side_of(keys, keys_of(place.path))
    if side and not (place.shared and side == "below ") then return place.what, side end
  end
end

-- Returns whether json.array or json.object made a table: their metatables are locked.
local probe = {}
local function marked(value)
  if not pcall(setmetatable, value, probe) then return true end
  setmetatable(value, nil)
  return false
end

-- Raises an error for a value other than JSON, and for an empty table, which may be an
-- array or an object.
local function check_data(at, what, value, place, depth)
  local kind = type(value)
  if kind == "function" or kind == "thread" then
    fail(at, "%s: %s is a %s, which no document can hold", what, place, kind)
  elseif kind ~= "table" then
    return
  end
  if depth > MAX_DEPTH then
    fail(at, "%s: %s is nested deeper than %d containers, or inside itself", what, place, MAX_DEPTH)
  elseif getmetatable(value) then
    fail(at, "%s: %s is no data: expressions and stages don't belong inside a literal", what, place)
  elseif next(value) == nil and not marked(value) then
    fail(at, "%s: %s is an empty table: write F.obj() for {} or F.arr() for []", what, place)
  end
  for key, part in pairs(value) do
    local below = type(key) == "number" and place .. format("[%s]", key) or place .. "." .. tostring(key)
    check_data(at, what, part, below, depth + 1)
  end
end

function M.data(at, what, value)
  if value == nil then
    fail(at, "%s: the value is nil (a misspelt name?); null is json.null", what)
  end
  check_data(at, what, value, "the value", 1)
  return value
end

-- Returns the nesting depth of a value, more than 1000 for a table inside itself.
function M.depth(value)
  local deepest, waiting = 0, { { value, 1 } }
  while #waiting > 0 do
    local part, depth = unpack(table.remove(waiting))
    if depth > deepest then deepest = depth end
    if deepest > 1000 then return deepest end
    for _, below in pairs(part) do
      if type(below) == "table" then waiting[#waiting + 1] = { below, depth + 1 } end
    end
  end
  return deepest
end

return M
