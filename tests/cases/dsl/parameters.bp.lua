-- What --ctx gives is in _CTX: here the stages, and data for literals.
local F, B = require "flow_dsl", require "bp_dsl"

local stages = {}
for n, name in ipairs(_CTX.stages) do
  stages[n] = B.stage(name) { agent = name, gate = n > 1 }
end
stages.halt_on = _CTX.halt_on
stages.done = "$.done"
print("made " .. #stages .. " stages")

return B.bp {
  id = _CTX.id,
  flow = F.seq { F.assign { at = "$.data", value = _CTX.data }, B.pipeline(stages) },
}
