local F = require "flow_dsl"
local B = require "bp_dsl"

local writer = F.step {
  agent = "writer",
  input = F.p "$.topic",
  out = outt,
}
return B.bp { schema_version = "0.1.0", id = "essay", flow = writer, agents = {} }
