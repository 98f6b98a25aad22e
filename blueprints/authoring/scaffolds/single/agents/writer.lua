-- Stands in for a model: _PROMPT is the topic, what is returned is the step's output.
return { topic = _PROMPT, text = "There is much to say about " .. _PROMPT .. "." }
