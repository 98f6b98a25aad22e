-- Defaults of a pipeline: no gate, no chain, no done.
local B = require "bp_dsl"

return B.bp { id = "plain", flow = B.pipeline {
  B.stage "one" { agent = "a" },
  B.stage "two-2" { agent = "b", input = "$.given", out = "$.kept.two" },
  B.stage "three" { agent = "c", input = B.from "two-2" },
} }
