-- One fresh runtime: builds what a script may reach and returns the function that runs
-- one script. Loaded with the chunk of json.lua and `talk`, which sends one frame to the
-- worker and returns its answer as a string.
--
-- Nothing here uses a global or a library table after the script has started: a script
-- may change those it can reach.

local codec, talk = ...
local null, array_mt, object_mt, decode, encode = codec()

local sub, format, gsub, gmatch = string.sub, string.format, string.gsub, string.gmatch
local concat = table.concat
local type, next, error, pcall, load, select = type, next, error, pcall, load, select
local tostring, setmetatable = tostring, setmetatable
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

local json = { null = null }

function json.decode(text)
  if type(text) ~= "string" then error("json.decode: expected a string", 2) end
  local fine, value = pcall(decode, text, big)
  if fine then return value end
  error("json.decode: " .. tostring(say(value)), 2)
end

function json.encode(value)
  local fine, text = pcall(encode, value, output_left, big)
  if fine then return text end
  error("json.encode: " .. tostring(say(text)), 2)
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

local function give(what, kind, name, value)
  local fine, text = pcall(encode, value, output_left, big)
  if not fine then
    if type(text) == "table" and text.json == "size" then
      text = "more output than its limit"
    end
    error(what .. ": " .. tostring(say(text)), 3)
  end
  output_left = output_left - #text
  talk("E" .. '["' .. kind .. '",' .. encode(name, #name * 6 + 8, false) .. "," .. text .. "]")
end

env.emit = {
  progress = function(stage, note)
    log("progress", word(stage, "emit.progress", 2), note == nil and "" or word(note, "emit.progress", 2))
  end,
  partial = function(value)
    give("emit.partial", "partial", "", value)
  end,
  artifact = function(name, value)
    give("emit.artifact", "artifact", word(name, "emit.artifact", 2), value)
  end,
}

-- Host functions: JSON there and back; what goes wrong comes as a table.

local host_fault = {
  __tostring = function(fault)
    return "host." .. fault.name .. ": " .. fault.kind .. ": " .. fault.text
  end,
  __metatable = false,
}

local function host_function(name)
  return function(value)
    local fine, text = pcall(encode, value, output_left, big)
    if not fine then error("host." .. name .. ": its argument: " .. tostring(say(text)), 2) end
    local answer = talk("H" .. name .. "\0" .. text)
    fine, value = pcall(decode, sub(answer, 2), big)
    if not fine then
      error("host." .. name .. ": its result: " .. tostring(say(value)), 2)
    end
    if sub(answer, 1, 1) == "v" then return value end
    value.name = name
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

function env.require(name)
  if type(name) ~= "string" then error("require: expected a name", 2) end
  local found = loaded[name]
  if found == module_env then error("the module " .. name .. " requires itself", 2) end
  if found ~= nil then return found end
  local answer = talk("Q" .. name)
  if sub(answer, 1, 1) ~= "v" then error(decode(sub(answer, 2), false).text, 2) end
  local chunk, fault = load(sub(answer, 2), "=" .. name, "t", module_env)
  if not chunk then error(fault, 0) end
  loaded[name] = module_env
  found = chunk(name)
  if found == nil then found = true end
  loaded[name] = found
  return found
end

-- One script

-- What went wrong, as the text of one frame: kind, text, place, permanent.
local function failure(kind, text, where, permanent)
  text = sub(text, 1, MAX_TEXT)
  local fine, frame = pcall(
    encode, { kind, text, where or "", permanent or false }, MAX_TEXT * 8, false
  )
  if fine then return "X", frame end
  return failure(kind, gsub(text, "[\128-\255]", "?"), where, permanent)
end

local function raised(fault)
  if fault == MEMORY then return failure("memory", fault) end
  if type(fault) ~= "table" then
    -- Lua repeats every frame of a stack that overflowed.
    local text = gsub(tostring(fault), "^([^\n]*stack overflow)[^\n]*.*$", "%1")
    return failure("error", text)
  end
  if raw_getmetatable(fault) == host_fault then
    return failure("host", tostring(fault), fault.kind, fault.permanent == true)
  end
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
  local fine, value = pcall(decode, input, big)
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
    local fine, more = pcall(decode, extras, big)
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
