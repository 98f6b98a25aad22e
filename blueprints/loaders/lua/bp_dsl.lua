-- B: Blueprints, and pipelines of stages, which become flows.

local F = require "flow_dsl"
local checks = require "dsl_checks"
local flow = checks.flow
local fail, public, fields, show = checks.fail, checks.public, checks.fields, checks.show
local setmetatable, getmetatable, type, pairs, ipairs, rawget, rawequal, next =
  setmetatable, getmetatable, type, pairs, ipairs, rawget, rawequal, next
local format = string.format
local json, emit = json, emit

local MAX_DEPTH = 126 -- of a flow, one less than that of a document

local B = {}
local stage_mt, from_mt = {}, {}

-- The host gets each warning at once; a script may take its warnings as well.

local warnings = {}

local function warn(text)
  warnings[#warnings + 1] = text
  emit.progress("dsl-warning", text)
end

function B.take_authoring_warnings()
  local taken = warnings
  warnings = {}
  return json.array(taken)
end

-- Documents and agents

local function check_table(what, given)
  if type(given) ~= "table" or getmetatable(given) then
    fail(nil, "%s, got %s", what, show(given))
  end
end

B.bp = public(function(given)
  check_table("B.bp: expected a table with id, flow and agents", given)
  return given
end)

B.agent = public(function(given)
  check_table("B.agent: expected a table", given)
  if given.md ~= nil then checks.text(nil, "B.agent: md", given.md) end
  local agent = { ["$agent_md"] = given.md }
  for key, value in pairs(given) do
    if key ~= "md" then agent[key] = value end
  end
  return agent
end)

-- Stages

local STAGE_FIELDS = {
  "agent", "fanout", "input", "out", "gate", "halt_on", "skip_on", "retry",
}
local FIX_FIELDS = { "agent", "input", "out" }

B.from = public(function(id)
  checks.text(nil, "B.from: the stage", id)
  return setmetatable({ stage = id }, from_mt)
end)

B.stage = public(function(id)
  checks.text(nil, "B.stage: the id", id)
  return function(given)
    return setmetatable({ id = id, given = given, at = checks.line() }, stage_mt)
  end
end)

local function is_stage(value)
  return type(value) == "table" and getmetatable(value) == stage_mt
end

local function is_from(value)
  return type(value) == "table" and getmetatable(value) == from_mt
end

local function refuse(stage, text, ...)
  fail(stage.at, "stage '%s': " .. text, stage.id, ...)
end

local function named(stage, field)
  return format("stage '%s': %s", stage.id, field)
end

local function values_of(at, what, list)
  local given, count = checks.list(at, what, list, "value")
  for n = 1, count do checks.text(at, format("%s[%d]", what, n), given[n]) end
  return given, count
end

local function check_bool(at, what, value)
  if value ~= nil and type(value) ~= "boolean" then
    fail(at, "%s must be true or false, got %s", what, show(value))
  end
end

local function check_retry(stage)
  local what, retry = named(stage, "retry"), stage.given.retry
  fields(stage.at, what, retry, { "max", "fix", "counter" }, { "max" })
  if retry.fix == nil then
    refuse(stage, "retry has no fix: write fix = B.stage \"ID\" {agent = ...}")
  elseif not is_stage(retry.fix) then
    refuse(stage, "retry.fix must be a stage, got %s", show(retry.fix))
  end
  checks.whole(stage.at, what .. ".max", retry.max)
  local fix = retry.fix
  fields(fix.at, format("fix stage '%s'", fix.id), fix.given, FIX_FIELDS, { "agent" })
  checks.text(fix.at, named(fix, "agent"), fix.given.agent)
end

local function check_stage(stage)
  local given = stage.given
  fields(stage.at, format("stage '%s'", stage.id), given, STAGE_FIELDS, {})
  check_bool(stage.at, named(stage, "gate"), given.gate)
  if given.fanout ~= nil then
    if given.agent ~= nil then refuse(stage, "it has both agent and fanout; one of them") end
    if given.retry ~= nil then refuse(stage, "a fanout can't be retried") end
  elseif given.agent == nil then
    refuse(stage, "it has neither agent nor fanout")
  else
    checks.text(stage.at, named(stage, "agent"), given.agent)
  end
  if given.retry ~= nil then check_retry(stage) end
end

-- A pipeline: its options, its stages in order, all stages with fixes by id, and the paths
-- of their outs. While it expands, `current` is the stage.

local Pipeline = {}
Pipeline.__index = Pipeline

local OPTIONS = { "halt_on", "halted_at", "done", "chain", "gate_default" }

local function add(self, stage)
  checks.id(stage.at, "stage", stage.id)
  local other = self.by_id[stage.id]
  if other and not rawequal(other, stage) then
    refuse(stage, "another stage has the same id, and each stage writes to its own path")
  end
  self.by_id[stage.id] = stage
end

local function read_options(given)
  local what = "B.pipeline"
  fields(nil, what, given, OPTIONS, {}, true)
  check_bool(nil, what .. ": chain", given.chain)
  local default = given.gate_default or "explicit"
  if default ~= "explicit" and default ~= "auto" then
    fail(nil, '%s: gate_default must be "explicit" or "auto", got %s', what, show(default))
  end
  local halt_on, count
  if given.halt_on ~= nil then
    halt_on, count = values_of(nil, what .. ": halt_on", given.halt_on)
  end
  return {
    halt_on = halt_on,
    chain = given.chain,
    auto = default == "auto" and count and count > 0,
    halted_at = flow.target(given.halted_at or "$.halted_at", what .. ": halted_at"),
    done = given.done and flow.target(given.done, what .. ": done"),
  }
end

local function new(given)
  local self = setmetatable({ stages = {}, by_id = {}, outs = {} }, Pipeline)
  self.options = read_options(given)
  local count = checks.length(nil, "B.pipeline", given, "stage")
  if count == 0 then fail(nil, "B.pipeline: it has no stage") end
  for n = 1, count do
    local stage = given[n]
    if not is_stage(stage) then
      local hint = type(stage) == "function" and ' (B.stage "ID" needs a table behind it)' or ""
      fail(nil, "B.pipeline: member %d is no stage%s", n, hint)
    end
    check_stage(stage)
    if self.by_id[stage.id] == stage then refuse(stage, "it is in the pipeline twice") end
    add(self, stage)
    stage.before = given[n - 1] or false
    self.stages[n] = stage
  end
  for _, stage in ipairs(self.stages) do
    if stage.given.retry then add(self, stage.given.retry.fix) end
  end
  self:check_places()
  return self
end

local function counter_of(stage)
  local what, counter = named(stage, "retry.counter"), stage.given.retry.counter
  return flow.target(counter or "$." .. stage.id .. "_n", what, stage.at)
end

-- Raises an error for a stage that would overwrite the paths of the pipeline itself.
function Pipeline:check_places()
  -- A stage may prepare the input of a later one.
  local places = { { path = "$.d", what = "the default inputs ($.d.ID)", shared = true } }
  local function reserve(path, what)
    local text = rawget(path, "at")
    places[#places + 1] = { path = text, what = format("%s (%s)", what, text) }
  end
  reserve(self.options.halted_at, "halted_at")
  if self.options.done then reserve(self.options.done, "done") end
  for _, stage in ipairs(self.stages) do
    if stage.given.retry then
      reserve(counter_of(stage), format("the count of the retry of stage '%s'", stage.id))
    end
  end
  for _, stage in ipairs(self.stages) do
    for _, writer in ipairs({ stage, stage.given.retry and stage.given.retry.fix }) do
      local taken, side = checks.overlap(rawget(self:out(writer), "at"), places)
      if taken and writer.given.out == nil then
        refuse(writer, "the id is the key of %s: give it another", taken)
      elseif taken then
        refuse(writer, "its out is %sthe place of %s: give it another", side, taken)
      end
    end
  end
end

-- Paths of stages

function Pipeline:named_stage(from, stage, field)
  local found = self.by_id[from.stage]
  if found then return found end
  local known = {}
  for id in pairs(self.by_id) do known[#known + 1] = id end
  table.sort(known)
  refuse(stage, "%s comes from stage '%s', which does not exist; %s", field, from.stage,
    checks.nearest(from.stage, known))
end

-- Returns the path that a stage writes to.
function Pipeline:out(stage)
  local known = self.outs[stage.id]
  if known then return known end
  if known == false then refuse(stage, "its out comes from its own out") end
  self.outs[stage.id] = false
  local given = stage.given.out
  local path
  if is_from(given) then
    path = self:out(self:named_stage(given, stage, "out"))
  else
    path = flow.target(given or "$." .. stage.id, named(stage, "out"), stage.at)
  end
  self.outs[stage.id] = path
  return path
end

local function may_be_skipped(stage)
  local skip_on = stage.given.skip_on
  return type(skip_on) == "table" and next(skip_on) ~= nil
end

-- Returns the path of a stage's output, for a reader. A skipped stage writes nothing, so
-- an earlier stage has to write the same path. A fix runs only after its stage has run.
function Pipeline:written(from, reader, field)
  local path = self:out(from)
  if not may_be_skipped(from) or rawequal(from, self.current) then return path end
  for _, stage in ipairs(self.stages) do
    if rawequal(stage, self.current) then break end
    local out = self:out(stage)
    if not may_be_skipped(stage) and rawget(out, "at") == rawget(path, "at") then return path end
  end
  refuse(reader, "%s is what stage '%s' writes, which may be skipped (skip_on) and then writes"
    .. " nothing: give it an input that is there in any case", field, from.id)
end

-- Returns the expression of an input: a path as text, the out of a stage or an expression.
function Pipeline:source(stage, field, given)
  if is_from(given) then
    return self:written(self:named_stage(given, stage, field), stage, field)
  end
  if flow.is_expr(given) then return given end
  return flow.p(given, named(stage, field), stage.at)
end

function Pipeline:input(stage)
  local given = stage.given.input
  if given == nil then
    if self.options.chain and stage.before then return self:written(stage.before, stage, "input") end
    given = "$.d." .. stage.id
  end
  return self:source(stage, "input", given)
end

-- Raises an error for stages whose inputs come from each other.
function Pipeline:check_circles()
  local state = {}
  local function visit(stage, trail)
    if state[stage.id] == "done" then return end
    trail = trail .. (trail == "" and "" or " <- ") .. stage.id
    if state[stage.id] then refuse(stage, "its input comes from itself: %s", trail) end
    state[stage.id] = "open"
    local given = stage.given.input
    if is_from(given) then visit(self:named_stage(given, stage, "input"), trail) end
    state[stage.id] = "done"
  end
  for _, stage in ipairs(self.stages) do
    visit(stage, "")
    if stage.given.retry then visit(stage.given.retry.fix, "") end
  end
end

-- Conditions. A condition is false instead of failing if the verdict is absent.

local function verdict_of(path)
  return flow.p(rawget(path, "at") .. '.parts["verdict"]')
end

-- Returns whether a stage has a gate, and the condition that halts.
function Pipeline:gate(stage)
  local given, options = stage.given, self.options
  local own = given.halt_on
  if own ~= nil then own = values_of(stage.at, named(stage, "halt_on"), own) end
  local wanted = given.gate
  if wanted == nil then
    wanted = given.retry ~= nil or own ~= nil or (options.auto and given.fanout == nil)
  end
  local values = own or options.halt_on
  if (wanted or given.retry) and (not values or #values == 0) then
    local what = wanted and "its gate" or "its retry"
    refuse(stage, "%s has no value to halt on: give it or the pipeline halt_on = {...}", what)
  end
  if not values then return wanted, nil end
  local verdict = verdict_of(self:out(stage))
  return wanted, flow.where_there(verdict, flow.one_of(verdict, values))
end

-- Fanout stages

local FANOUT_FIELDS = {
  "agent", "lanes", "items", "bind", "join", "lane_out", "select", "max_parallel",
}
local LANE_FIELDS = { "lane", "agent", "input", "out" }

local function lane_of(stage, entry, n)
  local what = named(stage, format("fanout.lanes[%d]", n))
  if type(entry) == "string" then entry = { lane = entry } end
  fields(stage.at, what, entry, LANE_FIELDS, { "lane" })
  local name = checks.text(stage.at, what .. ".lane", entry.lane)
  checks.id(stage.at, what, name)
  return entry, name
end

function Pipeline:lanes(stage, given, bind)
  local list, count = checks.list(stage.at, named(stage, "fanout.lanes"), given.lanes, "lane")
  if count == 0 then refuse(stage, "fanout.lanes is empty") end
  if given.lane_out ~= nil then
    refuse(stage, "fanout.lane_out is for fanout.agent; a lane has its own out")
  end
  local names, steps, seen = {}, {}, {}
  for n = 1, count do
    local lane, name = lane_of(stage, list[n], n)
    if seen[name] then refuse(stage, "fanout.lanes has '%s' twice", name) end
    seen[name] = true
    names[n] = name
    steps[n] = flow.step({
      agent = checks.text(stage.at, named(stage, "the agent of lane " .. name), lane.agent or name),
      input = self:source(stage, "the input of lane " .. name, lane.input or "$.d." .. name),
      out = flow.target(lane.out or "$.lane." .. name, named(stage, "the out of lane " .. name), stage.at),
    })
  end
  local body = steps[count]
  for n = count - 1, 1, -1 do
    body = flow.branch({ cond = bind:eq(names[n]), on_true = steps[n], on_false = body })
  end
  return body, F.lit(json.array(names))
end

function Pipeline:fanout(stage)
  local given, what = stage.given.fanout, named(stage, "fanout")
  fields(stage.at, what, given, FANOUT_FIELDS, {})
  if given.agent ~= nil and given.lanes ~= nil then
    refuse(stage, "fanout has both agent and lanes; one of them")
  elseif given.agent == nil and given.lanes == nil then
    refuse(stage, "fanout has neither agent nor lanes")
  end
  local bind = flow.target(given.bind or "$.item", what .. ".bind", stage.at)
  local body, items
  if given.lanes ~= nil then
    body, items = self:lanes(stage, given, bind)
  else
    body = flow.step({
      agent = checks.text(stage.at, what .. ".agent", given.agent),
      input = bind,
      out = flow.target(given.lane_out or "$.branch_out", what .. ".lane_out", stage.at),
    })
    items = given.items == nil and self:input(stage)
  end
  if is_from(given.items) then
    items = self:source(stage, "fanout.items", given.items)
  elseif given.items ~= nil then
    items = flow.items(given.items, what, stage.at)
  end
  return flow.fanout({
    items = items,
    bind = bind,
    body = body,
    join = flow.join(given.join or "all", what, stage.at),
    out = self:out(stage),
    select = flow.selected(given.select, what, stage.at),
    max_parallel = flow.bound(given.max_parallel, what, stage.at),
  })
end

-- Expansion

function Pipeline:step(stage)
  return flow.step({
    agent = stage.given.agent,
    input = self:input(stage),
    out = self:out(stage),
  })
end

function Pipeline:body(stage, cond)
  if stage.given.fanout ~= nil then return { self:fanout(stage) } end
  local step, retry = self:step(stage), stage.given.retry
  if not retry then return { step } end
  local counter = counter_of(stage)
  local max = checks.whole(stage.at, named(stage, "retry.max"), retry.max)
  return {
    step,
    flow.loop_({
      counter = counter,
      cond = F.all({ counter:lt(max), cond }),
      max = max + 1,
      body = flow.seq({ self:step(retry.fix), step }),
    }),
  }
end

function Pipeline:skipping(stage, body)
  local skip_on = stage.given.skip_on
  if skip_on == nil then return body end
  local values, count = values_of(stage.at, named(stage, "skip_on"), skip_on)
  if count == 0 then return body end
  local input = self:input(stage)
  if rawget(input, "op") ~= "path" then
    refuse(stage, "skip_on reads the verdict at its input, so the input must be a path")
  end
  local verdict = verdict_of(input)
  local cond = flow.where_there(verdict, F.lit(values):contains(verdict))
  return { flow.branch({ cond = cond, on_true = flow.seq({}), on_false = flow.seq(body) }) }
end

function Pipeline:expand()
  self:check_circles()
  local options, gates = self.options, 0
  local rest = options.done and flow.assign({ at = options.done, value = true }) or flow.seq({})
  for n = #self.stages, 1, -1 do
    local stage = self.stages[n]
    self.current = stage
    local wanted, cond = self:gate(stage)
    local children = self:skipping(stage, self:body(stage, cond))
    for _, child in ipairs(children) do checks.note(child, stage.at) end
    if wanted then
      gates = gates + 1
      if stage.given.fanout ~= nil then
        warn(format("%sstage '%s': its gate reads a verdict, but a fanout gives a list"
          .. " without one: it never halts", stage.at, stage.id))
      end
      local halt = flow.assign({ at = options.halted_at, value = stage.id })
      rest = flow.branch({ cond = cond, on_true = halt, on_false = rest })
    end
    children[#children + 1] = rest
    rest = flow.seq(children)
  end
  if options.halt_on and gates == 0 then
    warn("B.pipeline: halt_on is given, but no stage has a gate: write gate = true on"
      .. ' those that judge, or gate_default = "auto"')
  end
  return rest
end

B.pipeline = public(function(given)
  local pipeline = new(given)
  local node = pipeline:expand()
  local depth = checks.depth(node)
  if depth > MAX_DEPTH then
    fail(nil, "B.pipeline: its %d stages nest %d deep, and a flow may nest %d: a stage takes"
      .. " two levels and a gate one more. Write stages without a gate as F.step in one"
      .. " F.seq, or use two Blueprints", #pipeline.stages, depth, MAX_DEPTH)
  end
  return node
end)

return B
