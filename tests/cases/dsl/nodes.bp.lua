-- Every constructor of nodes.
local F = require "flow_dsl"
local step = F.step { id = "not written", agent = "a", input = F.p "$.x", out = F.p "$.y" }

return {
  id = "nodes",
  flow = F.seq {
    step,
    F.step { agent = "a", input = "a text", out = "$.y", name = "second" },
    F.branch { cond = F.p "$.x":eq(1), on_true = step, on_false = F.seq {} },
    F.loop_ { counter = F.p "$.n", cond = F.p "$.x":exists(), max = 3, body = step },
    F.fanout {
      items = F.p "$.items", bind = F.p "$.item", body = step, join = "all_settled",
      out = F.p "$.out",
    },
    F.fanout {
      items = { 1, 2 }, bind = "$.item", body = step, join = "any", out = "$.out",
      select = F.p "$.y", max_parallel = 2,
    },
    F.assign { at = F.p "$.a", value = F.p "$.b" },
    F.assign { at = "$.a", value = "$.b" },
    F.delete { at = "$.a" },
    F.delete { at = F.p "$.b.c" },
    F.try_ { body = step, catch = F.seq { F.seq {} } },
    F.try_ { body = step, catch = F.seq {}, err_at = "$.why", err_as = "object" },
    F.loop_ { counter = "$.n", cond = F.lit(true), max = 0, body = step, on_max = "fail" },
  },
}
