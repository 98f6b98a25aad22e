-- Stands in for a model: _CTX has the topic and, from the second time on, draft and review.
local before = _CTX.draft
local tries = before and before.tries + 1 or 1
return { tries = tries, text = "Draft " .. tries .. " about " .. _CTX.topic .. "." }
