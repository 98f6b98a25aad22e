-- One fresh runtime: builds what a script may reach and returns the function that runs
-- one script. Loaded with the chunk of json.lua and `talk`, which sends one frame to the
-- worker and returns its answer as a string, or false while memory is short for it.
--
-- Nothing here uses a global or a library table after the script has started: a script
-- may change those it can reach.

local codec, talk = ...
local null, array_mt, object_mt, decode, encode = codec()

local sub, format, gsub, gmatch = string.sub, string.format, string.gsub, string.gmatch
local find, concat, utf8_len = string.find, table.concat, utf8.len
local type, next, error, pcall, load, select = type, next, error, pcall, load, select
local tostring, setmetatable, collect = tostring, setmetatable, collectgarbage
local getmetatable, raw_getmetatable, rawget = getmetatable, debug.getmetatable, rawget

local MAX_TEXT = 4000
local MEMORY = "not enough memory"

-- Of the request under way.
local big, output_left, log_left, log_lost

-- The environment. What is not listed does not exist for a script.

local string_lib = {}
for _, name in next, {
  "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack",
  "packsize", "rep", "reverse", "sub", "unpack", "upper",
} do
  string_lib[name] = string[name]
end
-- ("").dump would be the real library's otherwise.
raw_getmetatable("").__index = string_lib

local env = {
  string = string_lib, table = table, math = math, utf8 = utf8, coroutine = coroutine,
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs,
  pcall = pcall, rawequal = rawequal, rawget = rawget, rawlen = rawlen, rawset = rawset,
  select = select, tonumber = tonumber, tostring = tostring, type = type,
  xpcall = xpcall, _VERSION = _VERSION,
}
env._G = env

local globals = _G
for name in next, globals do
  globals[name] = nil
end

-- json

local function say(fault)
  if type(fault) ~= "table" or not fault.json then return fault end
  if fault.json == "text" then return fault.rule .. " (" .. fault.place .. ")" end
  return fault.place .. ": " .. fault.rule
end

-- Raises what the codec refused, at the script's own line. A short memory stays itself.
local function refuse(what, fault, level)
  if fault == MEMORY then error(MEMORY, 0) end
  error(what .. ": " .. tostring(say(fault)), level + 1)
end

local json = { null = null }

function json.decode(text)
  if type(text) ~= "string" then error("json.decode: expected a string", 2) end
  local fine, value = pcall(decode, text, big)
  if fine then return value end
  refuse("json.decode", value, 2)
end

function json.encode(value)
  local fine, text = pcall(encode, value, output_left, big)
  if fine then return text end
  refuse("json.encode", text, 2)
end

local function marker(name, mark)
  return function(value)
    if value == nil then value = {} end
    if type(value) ~= "table" then error("json." .. name .. ": expected a table", 2) end
    return setmetatable(value, mark)
  end
end
json.array = marker("array", array_mt)
json.object = marker("object", object_mt)
env.json = json

-- What a script says: log lines and progress share one bounded budget and are dropped
-- beyond it; partial results and artifacts count as output and are refused beyond it.

local function log(kind, first, second)
  local cost = #first + #second + 16
  if cost > log_left then
    log_lost = log_lost + 1
    return
  end
  log_left = log_left - cost
  -- Texts that are not UTF-8 can't be shown as they are.
  local fine, text = pcall(encode, { kind, first, second }, cost * 8, false)
  talk("E" .. (fine and text or '["log","(a line that is not UTF-8)",""]'))
end

function env.print(...)
  local parts = {}
  for n = 1, select("#", ...) do
    parts[n] = tostring((select(n, ...)))
  end
  log("log", concat(parts, "\t"), "")
end

local function word(value, what, level)
  if type(value) ~= "string" and type(value) ~= "number" then
    error(what .. ": expected a string", level + 1)
  end
  return tostring(value)
end

-- What each costs besides its name and its value: the frame around them.
local EVENT = 16

local function give(what, kind, name, value)
  local fine, text = pcall(encode, value, output_left, big)
  if not fine then
    if type(text) == "table" and text.json == "size" then
      text = "more output than its limit"
    end
    refuse(what, text, 3)
  end
  local cost = #text + #name + EVENT
  if cost > output_left then error(what .. ": more output than its limit", 3) end
  output_left = output_left - cost
  talk("E" .. '["' .. kind .. '",' .. encode(name, #name * 6 + 8, false) .. "," .. text .. "]")
end

-- The worker's own rule for the name of a part (engine/run/journal/outputs.py), so that a script
-- is told at the line that breaks it.
local MAX_NAME = 128
local CHARACTER = "[\0-\x7F\xC2-\xFD][\x80-\xBF]*"
local SPACES = "\9\10\11\12\13\28\29\30\31 \u{85}\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}"
  .. "\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}"

local function is_blank(text)
  for character in gmatch(text, CHARACTER) do
    if not find(SPACES, character, 1, true) then return false end
  end
  return true
end

local function name_fault(name)
  local length = utf8_len(name)
  if not length then return "the name of a part must be UTF-8" end
  if is_blank(name) then return "the name of a part must not be blank" end
  if length > MAX_NAME then
    return "the name of a part has at most " .. format("%d", MAX_NAME) .. " characters"
  end
  -- C0 and DEL, C1, then separators and what turns a line around, as UTF-8.
  if find(name, "[\0-\31\127]") or find(name, "\194[\128-\159]")
    or find(name, "\226\128[\168-\174]") or find(name, "\226\129[\166-\169]") then
    return "the name of a part must not have control characters"
  end
end

env.emit = {
  progress = function(stage, note)
    log("progress", word(stage, "emit.progress", 2), note == nil and "" or word(note, "emit.progress", 2))
  end,
  partial = function(value)
    give("emit.partial", "partial", "", value)
  end,
  artifact = function(name, value)
    name = word(name, "emit.artifact", 2)
    local fault = name_fault(name)
    if fault then error("emit.artifact: " .. fault, 2) end
    give("emit.artifact", "artifact", name, value)
  end,
}

-- Host functions: JSON there and back; what goes wrong comes as a table.

-- Only a short memory makes a script wait for the collector: its garbage is not used
-- memory. An answer that does not fit then is an error like any other lack of memory.
local function ask(frame)
  local answer = talk(frame)
  if answer then return answer end
  collect()
  answer = talk("A")
  if answer then return answer end
  error(MEMORY, 0)
end

-- What a host function's error is, by the table that a script gets and may change.
local originals = setmetatable({}, { __mode = "k" })

local host_fault = {
  __tostring = function(fault)
    local was = originals[fault]
    return "host." .. was.name .. ": " .. was.kind .. ": " .. was.text
  end,
  __metatable = false,
}

local function host_function(name)
  return function(value)
    local fine, text = pcall(encode, value, output_left, big)
    if not fine then refuse("host." .. name .. ": its argument", text, 2) end
    local answer = ask("H" .. name .. "\0" .. text)
    fine, value = pcall(decode, sub(answer, 2), big, true)
    if not fine then refuse("host." .. name .. ": its result", value, 2) end
    if sub(answer, 1, 1) == "v" then return value end
    value.name = name
    originals[value] = {
      name = name, kind = value.kind, text = value.text, permanent = value.permanent,
    }
    error(setmetatable(value, host_fault), 2)
  end
end

local function host_table(names)
  local host = {}
  for name in gmatch(names, "%S+") do host[name] = host_function(name) end
  local known = names == "" and "none is registered" or "known: " .. names
  return setmetatable(host, {
    __index = function(_, name)
      error("no host function is named " .. format("%q", tostring(name)) .. "; " .. known, 2)
    end,
    __metatable = false,
  })
end

-- Modules come from the worker by name. They are ours or the installation's, never the
-- script's author's alone, so they may use metatables of tables.

local module_env = setmetatable({
  setmetatable = function(value, mark)
    -- A finalizer would run after the script, outside of its time.
    if type(mark) == "table" and rawget(mark, "__gc") ~= nil then
      error("setmetatable: __gc is not for scripts", 2)
    end
    return setmetatable(value, mark)
  end,
  getmetatable = function(value)
    return type(value) == "table" and getmetatable(value) or nil
  end,
}, { __index = env })

local loaded = { json = json }

-- A file is one module, whatever the spelling of its name (see blueprints/lua_scripts.py).
local function module_of(name)
  if sub(name, 1, 1) == "/" then return name end
  local parts = {}
  for part in gmatch(name, "[^/]+") do
    if part ~= "." then parts[#parts + 1] = part end
  end
  return (gsub(concat(parts, "/"), "%.lua$", ""))
end

function env.require(name)
  if type(name) ~= "string" then error("require: expected a name", 2) end
  local module = module_of(name)
  local found = loaded[module]
  if found == module_env then error("the module " .. name .. " requires itself", 2) end
  if found ~= nil then return found end
  local answer = ask("Q" .. name)
  if sub(answer, 1, 1) ~= "v" then error(decode(sub(answer, 2), false).text, 2) end
  local chunk, fault = load(sub(answer, 2), "=" .. name, "t", module_env)
  if not chunk then error(fault, 0) end
  loaded[module] = module_env
  found = chunk(name)
  if found == nil then found = true end
  loaded[module] = found
  return found
end

-- One script

-- What went wrong, as the text of one frame: kind, text, place, permanent.
local function failure(kind, text, where, permanent)
  text, where = sub(text, 1, MAX_TEXT), sub(where or "", 1, MAX_TEXT)
  local said = { kind, text, where, permanent or false }
  local fine, frame = pcall(encode, said, MAX_TEXT * 16, false)
  if not fine then
    -- Not UTF-8, or cut within a character.
    said[2], said[3] = gsub(text, "[\128-\255]", "?"), gsub(where, "[\128-\255]", "?")
    frame = encode(said, MAX_TEXT * 16, false)
  end
  return "X", frame
end

local function raised(fault)
  if fault == MEMORY then return failure("memory", fault) end
  if type(fault) ~= "table" then
    -- Lua repeats every frame of a stack that overflowed.
    local text = gsub(tostring(fault), "^([^\n]*stack overflow)[^\n]*.*$", "%1")
    return failure("error", text)
  end
  local was = originals[fault]
  if was then return failure("host", tostring(fault), was.kind, was.permanent == true) end
  local text = rawget(fault, "text")
  if type(text) == "string" then
    return failure("error", text, "", rawget(fault, "permanent") == true)
  end
  local fine, shown = pcall(encode, fault, MAX_TEXT, true)
  return failure("error", fine and shown or "an error that is no text")
end

local function refused(kind, fault)
  -- Memory or the stack may be short here as well.
  if type(fault) ~= "table" or not fault.json then return raised(fault) end
  if fault.json == "size" then return failure("output", fault.rule) end
  return failure(kind, fault.rule, fault.place, fault.json == "big")
end

local function set_input(input, is_text)
  env._PROMPT = input
  local fine, value = pcall(decode, input, big, not is_text)
  if fine then
    env._CTX = value
  elseif not is_text then
    return value
  end
end

local function start(call, label, source, input, names, extras)
  big, output_left, log_left, log_lost = call.big, call.output, call.log, 0
  env.host = host_table(names)
  if extras ~= "" then
    local fine, more = pcall(decode, extras, big, true)
    if not fine then return refused("input", more) end
    for name, value in next, more.globals do env[name] = value end
  end
  if call.has_input then
    local fault = set_input(input, call.is_text)
    if fault then return refused("input", fault) end
  end
  local chunk, fault = load(source, "=" .. label, "t", env)
  if not chunk then return failure("syntax", fault) end
  local fine, value = pcall(chunk)
  if log_lost > 0 then
    log_left = MAX_TEXT
    log("log", "(" .. format("%d", log_lost) .. " more lines were dropped: the log is full)", "")
  end
  if not fine then return raised(value) end
  local text
  fine, text = pcall(encode, value, output_left, big)
  if not fine then return refused("result", text) end
  return "R", text
end

-- Sizes in bytes; `names` is a text with a space after each name.
return function(flags, output, log_size, ...)
  return start({
    big = flags & 1 ~= 0,
    has_input = flags & 2 ~= 0,
    is_text = flags & 4 ~= 0,
    output = output,
    log = log_size,
  }, ...)
end
