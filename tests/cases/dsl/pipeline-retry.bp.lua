-- Retry, several values to halt on, a stage that may be skipped, paths of one's own.
local B = require "bp_dsl"

return B.bp { id = "retry", flow = B.pipeline {
  B.stage "draft" { agent = "drafter" },
  B.stage "judge" {
    agent = "critic",
    retry = {
      max = 2,
      fix = B.stage "mend" {
        agent = "mender", input = B.from "judge", out = B.from "draft",
      },
    },
  },
  B.stage "polish" {
    agent = "polisher", skip_on = { "GOOD", "FINE" }, out = "$.last",
  },
  B.stage "sign" {
    agent = "signer", skip_on = { "NO" }, input = "$", halt_on = { "VOID" },
    retry = { max = 0, fix = B.stage "ink" { agent = "a" }, counter = "$.count" },
    gate = false,
  },
  chain = true, halt_on = { "REJECT", "BLOCKED" }, halted_at = "$.stop.at", done = "$.ok",
} }
