-- Three stages. The second is a gate: what it rejects is mended and judged again, three
-- times at most; if that does not help, the pipeline halts there.
--   --set 'd.draft="gates and loops"'   another subject
local B = require "bp_dsl"

-- Runs in a worker, not here: only its text goes into the document.
local DRAFTER = [[
return { title = _PROMPT, lines = { "About " .. _PROMPT .. "." } }
]]

local CRITIC = [[
local missing = 3 - #_CTX.lines
emit.artifact("verdict", missing > 0 and "REJECT" or "ACCEPT")
return { title = _CTX.title, missing = math.max(missing, 0) }
]]

local MENDER = [[
local lines = _CTX.lines
lines[#lines + 1] = "More about " .. _CTX.title .. ", " .. #lines .. "."
return { title = _CTX.title, lines = lines }
]]

local PUBLISHER = [[
return "# " .. _CTX.title .. "\n\n" .. table.concat(_CTX.lines, "\n") .. "\n"
]]

local function agent(name, source, verdict)
  return { name = name, kind = "lua", spec = { source = source }, verdict = verdict }
end

return B.bp {
  id = "gated-pipeline",
  dialect = "swarm",
  metadata = {
    description = "A pipeline of stages: a draft is mended until its critic accepts it, then published.",
    tags = { "sample" },
  },
  default_init_ctx = { d = { draft = "verdicts" } },
  flow = B.pipeline {
    B.stage "draft" { agent = "drafter" },
    B.stage "judge" {
      agent = "critic",
      retry = {
        max = 3,
        fix = B.stage "mend" {
          agent = "mender", input = B.from "draft", out = B.from "draft",
        },
      },
    },
    B.stage "publish" { agent = "publisher", input = B.from "draft", out = "$.page" },
    chain = true, halt_on = { "REJECT" }, done = "$.done",
  },
  agents = {
    agent("drafter", DRAFTER),
    agent("critic", CRITIC, { channel = "part", values = { "ACCEPT", "REJECT" } }),
    agent("mender", MENDER),
    agent("publisher", PUBLISHER),
  },
}
