-- A stage that is left out when the one before it has said that there is nothing to do.
--   --set 'd.note="Guten Tag"'   is translated
local B = require "bp_dsl"

local TRIAGE = [[
local foreign = _PROMPT:match("Guten") or _PROMPT:match("Bonjour")
emit.artifact("verdict", foreign and "TRANSLATE" or "NOT_APPLICABLE")
return _PROMPT
]]

local TRANSLATOR = [[
local words = { Guten = "Good", Tag = "day", Bonjour = "Hello" }
return (_CTX.out:gsub("%a+", words))
]]

local FILER = [[
return { note = _CTX.note.out, translated = _CTX.translation or json.null }
]]

return B.bp {
  id = "skip-on",
  dialect = "swarm",
  metadata = {
    description = "A translator is skipped when triage says that the note needs no translation.",
    tags = { "sample" },
  },
  default_init_ctx = { d = { note = "Good morning" }, translation = json.null },
  flow = B.pipeline {
    B.stage "note" { agent = "triage" },
    B.stage "translation" {
      agent = "translator", input = B.from "note", skip_on = { "NOT_APPLICABLE" },
    },
    B.stage "filed" { agent = "filer", input = "$" },
    done = "$.done",
  },
  agents = {
    {
      name = "triage", kind = "lua", spec = { source = TRIAGE },
      verdict = { channel = "part", values = { "TRANSLATE", "NOT_APPLICABLE" } },
    },
    { name = "translator", kind = "lua", spec = { source = TRANSLATOR } },
    { name = "filer", kind = "lua", spec = { source = FILER } },
  },
}
