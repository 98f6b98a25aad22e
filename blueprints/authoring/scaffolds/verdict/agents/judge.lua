-- Stands in for a model: _CTX is the draft. The flow reads parts.verdict.
emit.artifact("verdict", _CTX.tries < 2 and "REVISE" or "PASS")
return { note = "read draft " .. _CTX.tries }
