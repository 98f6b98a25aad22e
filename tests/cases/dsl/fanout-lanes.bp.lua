-- One lane per name: a cascade of branches, the last lane without a question.
local F, B = require "flow_dsl", require "bp_dsl"

return B.bp { id = "fanout-lanes", flow = B.pipeline {
  B.stage "check" {
    fanout = {
      lanes = {
        "style",
        { lane = "facts", agent = "checker", input = "$.text", out = "$.facts" },
        { lane = "law", input = B.from "read" },
      },
      join = "all_settled",
    },
  },
  B.stage "alone" { fanout = { lanes = { "one" }, items = F.p "$.names", bind = "$.n" } },
  B.stage "read" { agent = "reader" },
} }
