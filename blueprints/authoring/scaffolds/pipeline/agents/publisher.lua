-- Stands in for a model: _CTX is the draft.
return { title = "After " .. _CTX.tries .. " drafts", text = _CTX.text }
