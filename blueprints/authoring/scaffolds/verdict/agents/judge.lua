-- Stands in for a model: _CTX is the draft. The flow reads parts.verdict.
local verdict = _CTX.tries < 2 and "REVISE" or "PASS"
return { parts = { verdict = verdict }, note = "read draft " .. _CTX.tries }
