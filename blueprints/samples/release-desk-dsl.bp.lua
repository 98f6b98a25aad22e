-- release-desk.json again, its flow built with F only: what runs is the same.
local B, F = require "bp_dsl", require "flow_dsl"

local function step(name, agent, input, out)
  return F.step { name = name, agent = agent, input = F.p(input), out = out }
end

local verdict = F.p "$.verdict"

local flow = F.seq {
  step("scout", "scout", "$.change", "$.findings"),
  step("plan", "planner", "$.findings", "$.plan"),
  F.loop_ {
    counter = "$.round",
    cond = verdict:eq "BLOCKED",
    max = 3,
    body = F.seq {
      step("work", "resolver", "$.plan", "$.work"),
      step("judge", "gate", "$.work", "$.verdict"),
    },
  },
  F.branch {
    cond = verdict:eq "PASS",
    on_true = step("publish", "publisher", "$.work", "$.result"),
    on_false = step("ask", "escalator", "$.work", "$.result"),
  },
}

local agents = {}

-- Every agent sits on one seat and answers in words, unless `more` says otherwise.
local function operator(name, prompt, more, timeout)
  local agent = {
    name = name,
    kind = "operator",
    timeout = timeout or "15m",
    spec = { operator_ref = "main-ai" },
    profile = { system_prompt = prompt },
  }
  for key, value in pairs(more or {}) do agent[key] = value end
  if not agent.verdict then
    agent.profile.extras = { expected_output = { kind = "inline_markdown" } }
  end
  agents[#agents + 1] = agent
end

operator("scout",
  "Find the files and tests that the change touches. "
  .. "Name them, and say in a sentence each why.")
operator("planner",
  "Turn the findings into a list of at most seven edits, "
  .. "in the order in which they should be made.")
operator("resolver",
  "Make the edits of the plan and run the tests. "
  .. "Tell what you changed and what the tests said.",
  { runner_ref = "workbench" }, "1h")
operator("gate",
  "Judge the work. Answer with one word: "
  .. "PASS if it can be released as it is, else BLOCKED.",
  { verdict = { channel = "body", values = { "PASS", "BLOCKED" } } })
operator("publisher",
  "Commit the work with a message that says why. Answer with the id of the commit.",
  { runner_ref = "workbench" })
operator("escalator",
  "The work was sent back three times. "
  .. "Write the question that a person has to decide.")

local function runner(name, variant, tools)
  return {
    name = name,
    runner = { backend = "ws_operator", variant = variant, tools = tools },
  }
end

return B.bp {
  schema_version = "0.1.0",
  id = "release-desk-dsl",
  dialect = "swarm",
  metadata = {
    description = "The sample release-desk, written in the Lua DSL.",
    tags = { "sample", "operator" },
  },
  check_policy = "strict",
  default_init_ctx = {
    change = "Make the export button work with an empty table",
    verdict = "BLOCKED",
  },
  flow = flow,
  operators = {
    { name = "main-ai", display_name = "The assistant in charge", kind = "main_ai" },
  },
  runners = {
    runner("desk", "generalist", { "Read", "Grep" }),
    runner("workbench", "engineer", { "Read", "Edit", "Bash" }),
  },
  default_runner = "desk",
  agents = agents,
}
