-- One agent for each topic, all at the same time, and one that reads what they wrote.
-- Which topics, and how many, is only known when the run starts:
--   --set 'd.topics=["tea","salt"]'
local B, F = require "bp_dsl", require "flow_dsl"

local RESEARCHER = [[
emit.progress("reading", _PROMPT)
return { topic = _PROMPT, letters = utf8.len(_PROMPT) }
]]

-- The stage `notes` selects what a lane found, so that this is an array of them.
local EDITOR = [[
local longest = json.null
local letters = 0
for _, note in ipairs(_CTX) do
  letters = letters + note.letters
  if longest == json.null or note.letters > utf8.len(longest) then
    longest = note.topic
  end
end
return { topics = #_CTX, letters = letters, longest = longest }
]]

return B.bp {
  id = "fanout-topics",
  dialect = "swarm",
  metadata = {
    description = "One agent per topic of a list, side by side, and a stage that consumes what all of them found.",
    tags = { "sample" },
  },
  default_init_ctx = { d = { topics = { "rivers", "bridges", "fords" } } },
  flow = B.pipeline {
    B.stage "notes" {
      input = "$.d.topics",
      fanout = {
        agent = "researcher", bind = "$.topic", lane_out = "$.note", select = F.p "$.note",
      },
    },
    B.stage "summary" { agent = "editor", input = B.from "notes" },
    done = "$.done",
  },
  agents = {
    { name = "researcher", kind = "lua", spec = { source = RESEARCHER } },
    { name = "editor", kind = "lua", spec = { source = EDITOR } },
  },
}
