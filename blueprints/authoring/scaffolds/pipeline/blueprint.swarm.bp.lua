-- Stages one after another. A review that says REVISE sends the draft back, twice at most;
-- if it still says so then, the pipeline halts there and $.halted_at names the stage.
local B = require "bp_dsl"
local F = require "flow_dsl"

local function agent(name, more)
  local made = B.agent {
    md = "agents/" .. name .. ".md",
    kind = "lua",
    spec = { source = { ["$file"] = "agents/" .. name .. ".lua" } },
  }
  for key, value in pairs(more or {}) do made[key] = value end
  return made
end

local again = B.stage "again" { agent = "writer", input = "$", out = B.from "draft" }
local stages = B.pipeline {
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
  dialect = "swarm",
  metadata = { description = "Draft, review, publish (--set topic=TEXT)." },
  default_init_ctx = { topic = "durable runs" },
  flow = F.seq {
    stages,
    F.assign {
      at = "$.result",
      value = F.p("$.publish.text"):default("nothing was published"),
    },
  },
  agents = {
    agent "writer",
    agent("judge", { verdict = { channel = "part", values = { "PASS", "REVISE" } } }),
    agent "publisher",
  },
}
