-- A pipeline of two stages with a gate, as a whole Blueprint.
local B = require "bp_dsl"

return B.bp {
  id = "pipeline-gate",
  flow = B.pipeline {
    B.stage "draft" { agent = "drafter" },
    B.stage "judge" { agent = "critic", gate = true },
    chain = true, halt_on = { "REJECT" }, done = "$.ok",
  },
}
