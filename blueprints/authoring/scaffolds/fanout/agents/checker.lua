-- Stands in for a model: _PROMPT is one item.
return { item = _PROMPT, fine = #_PROMPT > 0 }
