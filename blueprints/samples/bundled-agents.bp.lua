-- Agents that come with Swarm. Their files are looked for beside this one first, then in
-- the folders of the settings, and last in the samples; what is written beside `md`
-- replaces what the file says.
local B = require "bp_dsl"

return B.bp {
  id = "bundled-agents",
  dialect = "swarm",
  metadata = {
    description = "Research, review and a look at the Blueprint itself, by agents from Markdown files that come with Swarm.",
    tags = { "sample", "operator" },
  },
  default_init_ctx = { d = { research = "Why do bridges hum?" }, blueprint = {} },
  flow = B.pipeline {
    B.stage "research" { agent = "researcher" },
    B.stage "review" { agent = "reviewer", input = B.from "research", gate = true },
    B.stage "remarks" { agent = "bp-review", input = "$.blueprint" },
    halt_on = { "REJECT" }, done = "$.done",
  },
  operators = { { name = "desk", kind = "main_ai" } },
  runners = {
    { name = "any", runner = { backend = "ws_operator", variant = "any" } },
  },
  default_runner = "any",
  agents = {
    B.agent { md = "agents/researcher.md", spec = { operator_ref = "desk" }, timeout = "30m" },
    B.agent {
      md = "agents/reviewer.md",
      spec = { operator_ref = "desk" },
      timeout = "15m",
      verdict = { channel = "part", values = { "ACCEPT", "REJECT" } },
    },
    B.agent { md = "agents/bp-review.md", spec = { operator_ref = "desk" }, timeout = "15m" },
  },
}
