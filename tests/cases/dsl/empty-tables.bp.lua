-- An empty table is an object, F.arr() an array; inside literals it is neither (B21).
local F, B = require "flow_dsl", require "bp_dsl"

return B.bp {
  id = "empty",
  agents = F.arr(),
  metadata = {},
  hints = F.obj(),
  default_init_ctx = {
    a = F.lit(F.arr()), b = F.lit(F.obj()), c = F.arr { 1 }, d = F.obj { e = 1 },
    f = F.obj(F.obj()), g = json.array(), h = F.lit(json.array()),
  },
  flow = F.seq {},
}
