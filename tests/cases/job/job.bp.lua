-- The job of text.yaml: plain tables, expressions as text, and a function for what repeats.
local function step(name, input, out)
  return { kind = "step", name = name, agent = name, ["in"] = input, out = out }
end
local function let(at, value) return { kind = "let", at = at, value = value } end
local function seq(children) return { kind = "seq", children = children } end
local function agent(name, fn, policy)
  policy = policy or {}
  policy.name, policy.kind, policy.spec = name, "python_fn", { fn_id = fn }
  return policy
end

return {
  id = "triage",
  dialect = "swarm",
  default_init_ctx = { folder = "notes", least = 0.8, done = false },
  agents = {
    agent("list", "list-notes", { timeout = "10s" }),
    agent("classify", "classify-note", { timeout = "30s", retry = { max_attempts = 3, base = "0.5s" } }),
    agent("judge", "judge-notes"),
    agent("report", "write-report"),
  },
  flow = seq {
    step("list", "$.folder", "$.notes"),
    {
      kind = "loop", counter = "$.round", cond = "not $.done", max = 3,
      body = seq {
        {
          kind = "fanout",
          items = "filter($.notes, note, note.size > 0 and note.name != 'README')",
          bind = "$.note",
          body = step("classify", "{name: $.note.name, text: $.note.text, round: $.round}", "$.label"),
          join = "all_settled", select = "{name: $.note.name, label: $.label}",
          max_parallel = 8, out = "$.lanes",
        },
        let("$.good", "map(filter($.lanes, x, x.status == 'fulfilled'), x, x.value)"),
        let("$.failed", "length($.lanes) - length($.good)"),
        step("judge", "{notes: $.good, failed: $.failed}", "$.score"),
        let("$.done", "$.score >= $.least and $.failed == 0"),
      },
    },
    {
      kind = "branch", cond = "$.done",
      ["then"] = step("report", '{notes: $.good, title: "{length($.good)} notes in {$.folder}"}', "$.report"),
      ["else"] = let("$.halted", '"score {$.score} after {$.round} rounds"'),
    },
  },
}
