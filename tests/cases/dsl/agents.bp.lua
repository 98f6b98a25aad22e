-- Agents from Markdown, and texts from files.
local F, B = require "flow_dsl", require "bp_dsl"

return B.bp {
  id = "agents",
  flow = F.seq {},
  agents = {
    B.agent { md = "agents/critic.md", kind = "agent_block", verdict = { channel = "part", values = { "ACCEPT", "REJECT" } } },
    B.agent { name = "plain", kind = "python_fn", spec = { fn_id = "identity" } },
    { name = "third", kind = "lua", spec = { source = { ["$file"] = "agents/third.lua" } } },
  },
}
