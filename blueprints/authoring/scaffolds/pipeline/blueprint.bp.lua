-- Stages in sequence. The verdict REVISE of the review repeats the draft, at most twice;
-- after that it halts the pipeline, and $.halted_at names the stage.
local B = require "bp_dsl"

local function agent(name, verdict)
  return B.agent {
    md = "agents/" .. name .. ".md",
    kind = "lua",
    spec = { source = { ["$file"] = "agents/" .. name .. ".lua" } },
    verdict = verdict,
  }
end

local again = B.stage "again" { agent = "writer", input = "$", out = B.from "draft" }
local flow = B.pipeline {
  B.stage "draft" { agent = "writer", input = "$" },
  B.stage "review" { agent = "judge", retry = { max = 2, fix = again } },
  B.stage "publish" { agent = "publisher", input = B.from "draft" },
  chain = true,
  halt_on = { "REVISE" },
  done = "$.done",
}

return B.bp {
  schema_version = "0.1.0",
  id = "NAME",
  metadata = { description = "Draft, review, publish (--set topic=TEXT)." },
  default_init_ctx = { topic = "durable runs" },
  flow = flow,
  agents = {
    agent "writer",
    agent("judge", { channel = "part", values = { "PASS", "REVISE" } }),
    agent "publisher",
  },
}
