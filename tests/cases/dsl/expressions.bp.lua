-- Every constructor of expressions.
local F = require "flow_dsl"
local x, y = F.p "$.x", F.p "$.y"

return {
  id = "expressions",
  default_init_ctx = { exprs = {
    F.p "$.x",
    F.lit(1),
    F.lit(json.null),
    F.lit { a = { 1, 2 }, b = F.obj(), c = F.arr() },
    F.raw { op = "path", at = "$.x" },
    F.unwrap(x),
    F.unwrap("text"),
    x:eq(1), x:ne("a"), x:lt(y), x:lte(1.5), x:gt(0), x:gte(-1),
    x:eq(1):And(y:eq(2)):And(true),
    x:eq(1):Or(y),
    F.all { x, y, false },
    F.any { x },
    F.all {},
    F.any {},
    x:Not(), x:exists(), x:len(),
    x:contains("a"),
    F.lit { "a", "b" }:contains(x),
    x + 1, 1 - x, x * y, x / 2, 7 % x,
    F.call_extern("hash", { x, 1 }),
    F.call_extern("now", {}),
    x:default("none"),
    x:any("$.one", F.p "$.one.ok"),
    x:all(F.p "$.one", F.p "$.one":gt(2)),
    x:filter("$.one", F.p "$.one":eq("a")):len(),
    x:map("$", F.p "$.name"),
    F.lit { 1, 2 }:map("$.n", F.p "$.n" * 2),
  } },
}
