-- F: constructors of flows and expressions. They return the JSON of the document as plain
-- tables; expressions have their methods in a metatable.

local checks = require "dsl_checks"
local fail, public, fields, show = checks.fail, checks.public, checks.fields, checks.show
local setmetatable, getmetatable, type, pairs, rawget = setmetatable, getmetatable, type, pairs, rawget
local json = json

local NODE_KINDS = {
  step = true, seq = true, branch = true, fanout = true, loop = true, try = true,
  assign = true, let = true, delete = true,
}
local JOINS = { "all", "any", "race", "all_settled" }

-- The functions without `public`, which bp_dsl calls.
local raw = {}
local method = {}
local expr_mt = { __index = method }

local function expr(node)
  return setmetatable(node, expr_mt)
end

function raw.is_expr(value)
  return type(value) == "table" and getmetatable(value) == expr_mt
end
local is_expr = raw.is_expr

function raw.lit(value, what, at)
  what = what or "F.lit"
  if is_expr(value) then
    fail(at, "%s: expected a value, got an expression", what)
  end
  return expr({ op = "lit", value = checks.data(at, what, value) })
end

-- Returns an expression unchanged and any other value as a literal.
function raw.value(value, what, at)
  if is_expr(value) then return value end
  return raw.lit(value, what, at)
end
local value_of = raw.value

function raw.p(path, what, at)
  if type(path) ~= "string" or not (path:find("^%$") or path:find("^ctx")) then
    fail(at, '%s: expected a path such as "$.name", got %s', what or "F.p", show(path))
  end
  return expr({ op = "path", at = path })
end

-- Returns the path of a write target, given as a text or as an expression.
function raw.target(value, what, at)
  if is_expr(value) then
    if rawget(value, "op") == "path" then return value end
    fail(at, "%s: expected a path, got the expression '%s'", what, show(rawget(value, "op")))
  end
  return raw.p(value, what, at)
end
local target = raw.target

-- Returns a condition. A Lua boolean is an error: Lua compared before the run begins.
local function cond_of(value, what)
  if type(value) == "boolean" then
    fail(nil, "%s: cond is %s before the run begins: compare with a method"
      .. ' (F.p "$.x":eq(1)), or write F.lit(%s)', what, show(value), show(value))
  end
  return value_of(value, what .. ": cond")
end

local function node(value, what, at)
  if type(value) ~= "table" or is_expr(value) or not NODE_KINDS[rawget(value, "kind")] then
    fail(at, "%s: expected a node, got %s", what, show(value))
  end
  return value
end

function raw.join(value, what, at)
  for _, name in ipairs(JOINS) do
    if value == name then return value end
  end
  if type(value) ~= "string" then
    fail(at, "%s: expected a join, got %s; known: %s", what, show(value), table.concat(JOINS, ", "))
  end
  fail(at, "%s: unknown join '%s'; %s", what, value, checks.nearest(value, JOINS))
end

-- Returns the items of a fanout. A text is an error: most often F.p is missing.
function raw.items(value, what, at)
  if type(value) == "string" then
    fail(at, "%s: items is the text %s, which has no items; a path is F.p %s", what, show(value), show(value))
  end
  return value_of(value, what .. ": items", at)
end

-- Returns `select` of a fanout (dialect swarm), nil without one. A text is an error: most
-- often F.p is missing.
function raw.selected(value, what, at)
  if value == nil then return end
  if type(value) == "string" then
    fail(at, "%s: select is the text %s, the same for every lane; a path is F.p %s", what,
      show(value), show(value))
  end
  return value_of(value, what .. ": select", at)
end

function raw.text(value, what)
  if value ~= nil then return checks.text(nil, what, value) end
end

function raw.bound(value, what, at)
  if value ~= nil then return checks.whole(at, what .. ": max_parallel", value) end
end

-- Expressions

local function pair(op, what)
  return function(left, right)
    return expr({ op = op, lhs = value_of(left, what), rhs = value_of(right, what) })
  end
end

for _, op in ipairs({ "eq", "ne", "lt", "lte", "gt", "gte" }) do
  method[op] = public(pair(op, ":" .. op))
end
for name, op in pairs({ __add = "add", __sub = "sub", __mul = "mul", __div = "div", __mod = "mod" }) do
  expr_mt[name] = public(pair(op, op))
end

local function connective(op, what)
  return function(left, right)
    local args = { value_of(left, what), value_of(right, what) }
    return expr({ op = op, args = json.array(args) })
  end
end
method.And = public(connective("and", ":And"))
method.Or = public(connective("or", ":Or"))

for name, op in pairs({ Not = "not", exists = "exists", len = "len" }) do
  method[name] = public(function(arg)
    return expr({ op = op, arg = value_of(arg, ":" .. name) })
  end)
end

method.contains = public(function(haystack, needle)
  return expr({
    op = "in",
    needle = value_of(needle, ":contains"),
    haystack = value_of(haystack, ":contains"),
  })
end)

-- default, any, all, filter and map belong to the dialect swarm.
method.default = public(function(arg, fallback)
  return expr({
    op = "default",
    arg = value_of(arg, ":default"),
    fallback = value_of(fallback, ":default"),
  })
end)

-- The inner expression has each element of the array at the path `as`.
for name, field in pairs({ any = "cond", all = "cond", filter = "cond", map = "value" }) do
  method[name] = public(function(items, as, inner)
    local what = ":" .. name
    return expr({
      op = name,
      ["in"] = value_of(items, what),
      as = rawget(raw.target(as, what .. ": the path of the element"), "at"),
      [field] = field == "cond" and cond_of(inner, what) or value_of(inner, what),
    })
  end)
end

for name, sign in pairs({ __eq = "==", __lt = "<", __le = "<=" }) do
  expr_mt[name] = public(function()
    fail(nil, "expressions can't be compared with %s; use :eq, :ne, :lt, :lte, :gt, :gte", sign)
  end)
end
expr_mt.__concat = public(function()
  fail(nil, "expressions can't be joined with ..: the language has no such operation")
end)

function raw.connect(op, list, what)
  local given, count = checks.list(nil, what, list, "expression")
  local args = {}
  for n = 1, count do args[n] = value_of(given[n], what) end
  return expr({ op = op, args = json.array(args) })
end

-- Returns a condition that is false instead of failing if the path is absent.
function raw.where_there(path, cond)
  return raw.connect("and", { method.exists(path), cond })
end

function raw.one_of(path, values)
  if #values == 1 then return method.eq(path, values[1]) end
  local conds = {}
  for n, value in ipairs(values) do conds[n] = method.eq(path, value) end
  return raw.connect("or", conds)
end

function raw.call_extern(name, args)
  checks.text(nil, "F.call_extern: the name", name)
  local given, count = checks.list(nil, "F.call_extern", args or {}, "argument")
  local list = {}
  for n = 1, count do list[n] = value_of(given[n], "F.call_extern") end
  return expr({ op = "call_extern", ref = name, args = json.array(list) })
end

-- Nodes

function raw.step(given)
  fields(nil, "F.step", given, { "id", "agent", "input", "out", "name" }, { "agent", "input", "out" })
  return {
    kind = "step",
    ref = checks.text(nil, "F.step: agent", given.agent),
    ["in"] = value_of(given.input, "F.step: input"),
    out = target(given.out, "F.step: out"),
    name = raw.text(given.name, "F.step: name"),
  }
end

function raw.seq(list)
  local given, count = checks.list(nil, "F.seq", list, "node")
  local children = {}
  for n = 1, count do children[n] = node(given[n], "F.seq: node " .. n) end
  return { kind = "seq", children = json.array(children) }
end

function raw.branch(given)
  local names = { "cond", "on_true", "on_false" }
  fields(nil, "F.branch", given, names, names)
  return {
    kind = "branch",
    cond = cond_of(given.cond, "F.branch"),
    ["then"] = node(given.on_true, "F.branch: on_true"),
    ["else"] = node(given.on_false, "F.branch: on_false"),
  }
end

function raw.loop_(given)
  local names = { "counter", "cond", "max", "body" }
  fields(nil, "F.loop_", given, { "counter", "cond", "max", "body", "on_max" }, names)
  return {
    kind = "loop",
    counter = target(given.counter, "F.loop_: counter"),
    cond = cond_of(given.cond, "F.loop_"),
    max = checks.whole(nil, "F.loop_: max", given.max),
    body = node(given.body, "F.loop_: body"),
    on_max = given.on_max,
  }
end

function raw.fanout(given)
  local names = { "items", "bind", "body", "join", "out" }
  local known = { "items", "bind", "body", "join", "out", "select", "max_parallel" }
  fields(nil, "F.fanout", given, known, names)
  return {
    kind = "fanout",
    items = raw.items(given.items, "F.fanout"),
    bind = target(given.bind, "F.fanout: bind"),
    body = node(given.body, "F.fanout: body"),
    join = raw.join(given.join, "F.fanout"),
    out = target(given.out, "F.fanout: out"),
    select = raw.selected(given.select, "F.fanout"),
    max_parallel = raw.bound(given.max_parallel, "F.fanout"),
  }
end

function raw.assign(given)
  fields(nil, "F.assign", given, { "at", "value" }, { "at", "value" })
  return {
    kind = "assign",
    at = target(given.at, "F.assign: at"),
    value = value_of(given.value, "F.assign: value"),
  }
end

-- Of the dialect swarm.
function raw.delete(given)
  fields(nil, "F.delete", given, { "at" }, { "at" })
  return { kind = "delete", at = rawget(target(given.at, "F.delete: at"), "at") }
end

function raw.try_(given)
  fields(nil, "F.try_", given, { "body", "catch", "err_at", "err_as" }, { "body", "catch" })
  local built = {
    kind = "try",
    body = node(given.body, "F.try_: body"),
    catch = node(given.catch, "F.try_: catch"),
    err_as = given.err_as,
  }
  if given.err_at ~= nil then built.err_at = target(given.err_at, "F.try_: err_at") end
  return built
end

-- F

local F = {
  p = public(function(path) return raw.p(path) end),
  lit = public(function(value) return raw.lit(value) end),
  unwrap = public(function(value) return raw.value(value, "F.unwrap") end),
  all = public(function(list) return raw.connect("and", list, "F.all") end),
  any = public(function(list) return raw.connect("or", list, "F.any") end),
}
for _, name in ipairs({
  "call_extern", "step", "seq", "branch", "loop_", "fanout", "assign", "delete", "try_",
}) do
  F[name] = public(raw[name])
end

-- A table verbatim as an expression; its copy gets the methods.
F.raw = public(function(given)
  if is_expr(given) then return given end
  if type(given) ~= "table" or type(given.op) ~= "string" then
    fail(nil, "F.raw: expected a table with an op, got %s", show(given))
  end
  local copy = {}
  for key, value in pairs(given) do copy[key] = value end
  return expr(copy)
end)

local function marker(name, mark)
  return public(function(given)
    if given ~= nil and (type(given) ~= "table" or getmetatable(given)) then
      fail(nil, "F.%s: expected a table, got %s", name, show(given))
    end
    local copy = {}
    for key, value in pairs(given or copy) do copy[key] = value end
    return mark(copy)
  end)
end
F.obj = marker("obj", json.object)
F.arr = marker("arr", json.array)

-- Parameters come as JSON, so their empty objects are known to be objects. Arrays are
-- marked already, and marking one again would make an object of it.
local function keep_objects(value)
  if type(value) ~= "table" then return end
  if next(value) == nil then
    if json.encode(value) == "{}" then json.object(value) end
    return
  end
  for _, part in pairs(value) do keep_objects(part) end
end
keep_objects(_CTX)

checks.flow = raw
return F
