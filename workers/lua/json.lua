-- JSON text <-> Lua values, strict both ways, each refusal with its place.
--
-- null is the value `null`; an array carries the metatable `array_mt`, so that an empty
-- one stays one; an object is a plain table. Only locals are used: a script may change
-- the library tables, not what is written here.

local byte, find, format = string.byte, string.find, string.format
local gsub, match, sub, concat = string.gsub, string.match, string.sub, table.concat
local sort, math_type = table.sort, math.type
local utf8_len, utf8_char = utf8.len, utf8.char
local type, next, tonumber, error, rawequal = type, next, tonumber, error, rawequal
local getmetatable, setmetatable = debug.getmetatable, setmetatable

local MAX_DEPTH = 127
local MAX_INT = 9007199254740992
local INF = math.huge

-- A light userdata: equal to itself alone, without fields, and no script can make one.
local null = debug.upvalueid(function() return find end, 1)
debug.setmetatable(null, { __tostring = function() return "null" end, __metatable = false })

local array_mt = { __metatable = false }
local object_mt = { __metatable = false }

-- State of the one call under way: neither decode nor encode ever yields.
local path = {}
local text, big_as_text, ours
local buffer, used, chunks, done, size, limit

local function place(depth)
  local parts = { "$" }
  for n = 1, depth do
    local key = path[n]
    parts[n + 1] = type(key) == "number" and "[" .. format("%d", key - 1) .. "]" or "." .. key
  end
  return concat(parts)
end

local function refuse(depth, rule, kind)
  error({ json = kind or "value", place = place(depth), rule = rule }, 0)
end

-- Decoding

local function bad(pos, what)
  error({ json = "text", place = "byte " .. format("%d", pos), rule = what }, 0)
end

-- The position from `pos` on of what is not white space, and the byte there.
local function skip(pos)
  local c = byte(text, pos)
  if c == 32 or c == 10 or c == 13 or c == 9 then
    pos = find(text, "[^ \n\r\t]", pos) or #text + 1
    c = byte(text, pos)
  end
  return pos, c
end

local ESCAPED = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function hex(pos)
  local digits = match(text, "^%x%x%x%x", pos)
  if not digits then bad(pos, "expected four hexadecimal digits") end
  return tonumber(digits, 16)
end

-- The string whose text starts at `pos`, with escapes in it.
local function slow_string(pos)
  local parts, n = {}, 0
  while true do
    local stop = find(text, '["\\\0-\31]', pos)
    if not stop then bad(#text + 1, "the string has no end") end
    n = n + 1
    parts[n] = sub(text, pos, stop - 1)
    local c = byte(text, stop)
    if c == 34 then return concat(parts), stop + 1 end
    if c ~= 92 then bad(stop, "a control character in a string must be escaped") end
    local what = sub(text, stop + 1, stop + 1)
    pos = stop + 2
    n = n + 1
    if what == "u" then
      local code = hex(pos)
      pos = pos + 4
      if code >= 0xD800 and code <= 0xDBFF and sub(text, pos, pos + 1) == "\\u" then
        local low = hex(pos + 2)
        if low >= 0xDC00 and low <= 0xDFFF then
          code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
          pos = pos + 6
        end
      end
      if code >= 0xD800 and code <= 0xDFFF then bad(stop, "half a surrogate pair") end
      parts[n] = utf8_char(code)
    else
      parts[n] = ESCAPED[what] or bad(stop, "unknown escape")
    end
  end
end

local function read_string(pos)
  if ours then
    -- No more than a search for a byte, where nothing but an escape can be in the way.
    local stop = find(text, '"', pos, true)
    local value = sub(text, pos, stop - 1)
    if not find(value, "\\", 1, true) then return value, stop + 1 end
    return slow_string(pos)
  end
  local _, stop = find(text, '^[^"\\\0-\31]*"', pos)
  if stop then return sub(text, pos, stop - 1), stop + 1 end
  return slow_string(pos)
end

local function read_number(pos, depth)
  local stop
  local _, whole = find(text, "^%-?%d+", pos)
  if not whole then bad(pos, "expected a value") end
  if not ours and find(text, "^%-?0%d", pos) then bad(pos, "a number must not start with 0") end
  stop = whole
  local c = byte(text, stop + 1)
  if c == 46 then
    _, stop = find(text, "^%d+", stop + 2)
    if not stop then bad(whole + 1, "expected digits after the point") end
    c = byte(text, stop + 1)
  end
  if c == 69 or c == 101 then
    _, stop = find(text, "^[+-]?%d+", stop + 2)
    if not stop then bad(whole + 1, "expected digits in the exponent") end
  end
  local digits = sub(text, pos, stop)
  local number = tonumber(digits)
  if stop > whole then
    if number == INF or number == -INF then
      refuse(depth, "the number " .. sub(digits, 1, 40) .. " is beyond a double's range")
    end
    return number, stop + 1
  end
  if digits == "-0" then return -0.0, stop + 1 end
  if math_type(number) == "integer" and number <= MAX_INT and number >= -MAX_INT then
    return number, stop + 1
  end
  if big_as_text then return digits, stop + 1 end
  refuse(depth, "the integer " .. sub(digits, 1, 40) .. " is beyond 2^53", "big")
end

local read_value

local function read_array(pos, depth)
  local array, n = setmetatable({}, array_mt), 0
  local c
  pos, c = skip(pos)
  if c == 93 then return array, pos + 1 end
  while true do
    n = n + 1
    path[depth] = n
    array[n], pos = read_value(pos, c, depth)
    pos, c = skip(pos)
    if c == 93 then return array, pos + 1 end
    if c ~= 44 then bad(pos, "expected ',' or ']'") end
    pos, c = skip(pos + 1)
  end
end

local function read_object(pos, depth)
  local object = {}
  local key, c
  pos, c = skip(pos)
  if c == 125 then return object, pos + 1 end
  while true do
    if c ~= 34 then bad(pos, "expected a key in quotes") end
    key, pos = read_string(pos + 1)
    path[depth] = key
    if object[key] ~= nil then refuse(depth, "the key is there twice") end
    pos, c = skip(pos)
    if c ~= 58 then bad(pos, "expected ':'") end
    pos, c = skip(pos + 1)
    object[key], pos = read_value(pos, c, depth)
    pos, c = skip(pos)
    if c == 125 then return object, pos + 1 end
    if c ~= 44 then bad(pos, "expected ',' or '}'") end
    pos, c = skip(pos + 1)
  end
end

-- The value at `pos`, where the byte `c` is, inside `depth` containers, and the position
-- behind it.
function read_value(pos, c, depth)
  if c == 34 then
    return read_string(pos + 1)
  elseif c == 123 or c == 91 then
    if depth >= MAX_DEPTH then refuse(depth, "nested deeper than 127 containers") end
    if c == 123 then return read_object(pos + 1, depth + 1) end
    return read_array(pos + 1, depth + 1)
  elseif c == 116 and sub(text, pos, pos + 3) == "true" then
    return true, pos + 4
  elseif c == 102 and sub(text, pos, pos + 4) == "false" then
    return false, pos + 5
  elseif c == 110 and sub(text, pos, pos + 3) == "null" then
    return null, pos + 4
  end
  return read_number(pos, depth)
end

-- Reads one value; raises a table {json, place, rule}. `from_us`: the worker's own encoder
-- has written it, so it is UTF-8 and its strings are well formed.
local function decode(source, big, from_us)
  text, big_as_text, ours = source, big, from_us
  if not from_us then
    local fine, fault = utf8_len(source)
    if not fine then bad(fault, "not UTF-8") end
  end
  local pos, c = skip(1)
  local value
  value, pos = read_value(pos, c, 0)
  pos = skip(pos)
  if pos <= #source then bad(pos, "more text after the value") end
  text = nil
  return value
end

-- Encoding

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function escape(c)
  return SHORT[c] or format("\\u%04x", byte(c))
end

local function put(piece)
  used = used + 1
  buffer[used] = piece
  size = size + #piece
  if size > limit then error({ json = "size", place = "$", rule = "larger than its limit" }, 0) end
  if used == 4096 then -- a long text must not cost a table entry for each comma
    done = done + 1
    chunks[done] = concat(buffer, "", 1, used)
    used = 0
  end
end

local function put_string(value, depth)
  if find(value, "[\128-\255]") and not utf8_len(value) then
    refuse(depth, "the string is not UTF-8")
  end
  if find(value, '["\\%c]') then value = gsub(value, '["\\%c]', escape) end
  put('"' .. value .. '"')
end

local function put_number(value, depth)
  if math_type(value) == "integer" then
    if value > MAX_INT or value < -MAX_INT then
      if not big_as_text then
        refuse(depth, "the integer " .. format("%d", value) .. " is beyond 2^53", "big")
      end
      return put('"' .. format("%d", value) .. '"')
    end
    return put(format("%d", value))
  end
  if value ~= value or value == INF or value == -INF then
    refuse(depth, "a number must be finite (no NaN, no Infinity)")
  end
  local digits = format("%.15g", value)
  if tonumber(digits) ~= value then digits = format("%.17g", value) end
  if not find(digits, "[.e]") then digits = digits .. ".0" end
  put(digits)
end

local put_value

local function hole(value, n)
  local first = 1
  while value[first] ~= nil do first = first + 1 end
  return first > n and n or first
end

-- The length of a table that is to be an array; refuses other keys and holes.
local function array_length(value, depth)
  local count, highest = 0, 0
  for key in next, value do
    if math_type(key) ~= "integer" or key < 1 then
      local shown = type(key) == "string" and format("%q", sub(key, 1, 40)) or type(key)
      refuse(depth, "an array has the key " .. shown .. " beside its numbers from 1")
    end
    count = count + 1
    if key > highest then highest = key end
  end
  if highest ~= count then
    path[depth + 1] = hole(value, highest)
    refuse(depth + 1, "an array has a hole here: use json.null")
  end
  return count
end

local function put_array(value, depth)
  local n = array_length(value, depth)
  put("[")
  for i = 1, n do
    if i > 1 then put(",") end
    path[depth + 1] = i
    put_value(value[i], depth + 1)
  end
  put("]")
end

local function put_object(value, depth)
  local keys, n = {}, 0
  for key in next, value do
    if type(key) ~= "string" then
      refuse(depth, "an object has a key of type " .. type(key) .. " beside its strings")
    end
    n = n + 1
    keys[n] = key
  end
  sort(keys) -- the same value gives the same text
  put("{")
  for i = 1, n do
    local key = keys[i]
    if i > 1 then put(",") end
    path[depth + 1] = utf8_len(key) and key or "?"
    put_string(key, depth + 1)
    put(":")
    put_value(value[key], depth + 1)
  end
  put("}")
end

function put_value(value, depth)
  local kind = type(value)
  if kind == "string" then
    put_string(value, depth)
  elseif kind == "number" then
    put_number(value, depth)
  elseif kind == "table" then
    if depth >= MAX_DEPTH then
      refuse(depth, "nested deeper than 127 containers, or inside itself")
    end
    local mark = getmetatable(value)
    local first = next(value)
    if rawequal(mark, array_mt) or (type(first) == "number" and not rawequal(mark, object_mt)) then
      put_array(value, depth)
    else
      put_object(value, depth)
    end
  elseif value == true then
    put("true")
  elseif value == false then
    put("false")
  elseif value == nil or value == null then
    put("null")
  else
    refuse(depth, "a " .. kind .. " is no JSON value")
  end
end

-- Writes one value in at most `most` bytes; raises a table {json, place, rule}.
local function encode(value, most, big)
  buffer, used, chunks, done, size, limit, big_as_text = {}, 0, {}, 0, 0, most, big
  put_value(value, 0)
  chunks[done + 1] = concat(buffer, "", 1, used)
  local whole = concat(chunks, "", 1, done + 1)
  buffer, chunks = nil, nil
  return whole
end

return null, array_mt, object_mt, decode, encode
