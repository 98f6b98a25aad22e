-- Who gets a gate with gate_default = "auto", and whose values it has.
local B = require "bp_dsl"

return B.bp { id = "gates", flow = B.pipeline {
  B.stage "by-default" { agent = "a" },
  B.stage "not-this" { agent = "b", gate = false },
  B.stage "own" { agent = "c", halt_on = { "STOP" } },
  B.stage "no-fanout" { fanout = { agent = "d" } },
  gate_default = "auto", halt_on = { "NO" },
} }
