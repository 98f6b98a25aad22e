local F = require "flow_dsl"
local B = require "bp_dsl"

return B.bp {
  schema_version = "0.1.0"
  id = "essay",
}
