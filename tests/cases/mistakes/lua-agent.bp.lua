local F = require "flow_dsl"
local B = require "bp_dsl"

return B.bp {
  schema_version = "0.1.0",
  id = "essay",
  default_init_ctx = { topic = "tea" },
  flow = F.seq {
    F.step { agent = "writer", input = F.p "$.topic", out = "$.text" },
    F.step { agent = "judge", input = F.p "$.text", out = "$.good" },
  },
  agents = {
    B.agent { name = "writer", kind = "python_fn", spec = { fn_id = "identity" } },
  },
  metadata = { lints = { ["missing-timeout"] = "allow" } },
}
