-- Every node and every form of an expression.
local F = require "flow_dsl"
local p, n, rows = F.p, F.p "$.n", F.p "$.rows"

local function object(entries) return F.raw { op = "object", entries = entries } end
local function array(...) return F.raw { op = "array", items = { ... } } end
local function call(name, ...) return F.raw { op = name, args = { ... } } end
local function let(at, value) return { kind = "let", at = at, value = F.unwrap(value) } end
local nothing = F.seq {}

return {
  dialect = "swarm",
  id = "parts",
  flow = F.seq {
    F.step {
      agent = "worker", input = object { topic = p "$.topic", words = F.lit(200) },
      out = "$.text", name = "draft",
    },
    F.branch {
      cond = p "$.score":gt(0.9):And(p "$.verdict":eq("PASS")),
      on_true = let("$.done", true),
      on_false = let("$.why", F.raw { op = "template", parts = {
        F.lit "score ", p "$.score", F.lit ", not above 0.9",
      } }),
    },
    F.branch {
      cond = F.any { p "$.a", p "$.b":lt(1), p "$.c":lte(2) }, on_true = nothing, on_false = nothing,
    },
    F.loop_ {
      cond = p "$.good":Not(), max = 3, counter = "$.round", on_max = "fail",
      body = F.step { agent = "worker", input = p "$.text", out = "$.good" },
    },
    F.fanout {
      items = call("slice", p "$.topics", F.lit(0), F.lit(10)), bind = "$.topic",
      body = F.step { agent = "worker", input = p "$", out = "$.reply" },
      join = "all", select = p "$.reply", out = "$.replies", max_parallel = 2,
    },
    F.fanout { items = { 1, 2 }, bind = "$.n", body = nothing, join = "race", out = "$.first" },
    F.try_ { body = nothing, catch = F.delete { at = "$.rows[-1]" }, err_at = "$.error", err_as = "object" },
    let('$["any key"].items[0]', p '$["with \\"quotes\\""]'),
    let("$.numbers", array(1 + n, n - 2, 3 * n, n / 4.5, 5 % n)),
    let("$.tests", array(n:gte(1), n:ne(F.obj()), rows:contains("a"), n:exists())),
    let("$.data", F.lit { list = { 1, 2.5, json.null, false }, empty = F.obj(), text = "$.n" }),
    let("$.kept", rows:filter("$.row", p "$.row.score":gt(3))),
    let("$.names", rows:map("$.row", call("upper", p "$.row.name"))),
    let("$.one", rows:any("$.row", p "$.row.ok")),
    let("$.every", rows:all("$.row", p "$.row.ok")),
    let("$.sorted", F.raw { op = "sort_by", ["in"] = rows, as = "$.row", value = p "$.row.score" }),
    let("$.count", rows:len() + p "$.more":default(0)),
    let("$.found", call("get", p "$.by_name", p "$.name")),
    let("$.hash", F.call_extern("hash", { p "$.text", 1 })),
    let("$.tail", call("slice", rows, F.lit(2))),
    let("$.total", call("sum", rows:map("$.row", p "$.row.score")) / rows:len()),
  },
  agents = {
    {
      name = "worker", kind = "python_fn", spec = { fn_id = "identity" },
      timeout = "30s", queue = "heavy", priority = "hi",
      retry = { max_attempts = 3, base = 1, cap = "5m", ["not"] = { "AgentFailed" } },
      limit = { key = p "$.input.topic", max = 2 },
    },
  },
  default_init_ctx = { rows = F.arr() },
}
