-- One agent per item: items come from the input of the stage.
local F, B = require "flow_dsl", require "bp_dsl"

return B.bp { id = "fanout-agent", flow = B.pipeline {
  B.stage "split" { agent = "splitter" },
  B.stage "each" { fanout = { agent = "worker" } },
  B.stage "again" {
    fanout = {
      agent = "worker", items = B.from "each", bind = "$.one", join = "any",
      lane_out = "$.got",
    },
    out = "$.first",
  },
  B.stage "fixed" { fanout = { agent = "worker", items = { 1, 2 }, join = "race" } },
  B.stage "given" { fanout = { agent = "worker", items = F.p "$.list" }, skip_on = { "NO" } },
  chain = true,
} }
