"""`manage.py run` of a script in the Lua DSL, with real processes."""

import json
from pathlib import Path

import pytest
from command_shell import Shell

pytestmark = pytest.mark.slow

SCRIPT = """
local F, B = require "flow_dsl", require "bp_dsl"

local stages = { chain = true, halt_on = { "REJECT" }, done = "$.ok" }
for n, name in ipairs(_CTX.stages) do
  stages[n] = B.stage(name) { agent = "judge", gate = true }
end
return B.bp {
  id = "review",
  flow = B.pipeline(stages),
  agents = { B.agent { md = "judge.md", kind = "lua", spec = {
    source = { ["$file"] = "judge.lua" },
  } } },
}
"""
JUDGE = "return { parts = { verdict = _CTX.verdict or _CTX.parts.verdict } }"


@pytest.mark.parametrize(
    ("verdict", "key", "value"),
    [("ACCEPT", "ok", True), ("REJECT", "halted_at", "one"), (None, "ok", True)],
)
def test_a_folder_with_a_script_runs_by_its_parameters(
    kept: Shell, tmp_path: Path, verdict: str | None, key: str, value: object
):
    (tmp_path / "blueprint.bp.lua").write_text(SCRIPT)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "judge.md").write_text("---\nname: judge\n---\nBe fair.\n")
    source = JUDGE if verdict else "return { parts = {} }"
    (tmp_path / "judge.lua").write_text(source)
    given = {"stages": ["one", "two"], "d": {"one": {"verdict": verdict}}}
    include = tmp_path / "more"
    code = kept.run("run", tmp_path, "--ctx", json.dumps(given), "--include", include)

    assert code == 0, kept.err
    ctx = json.loads(kept.out)
    # A missing verdict halts nothing (B12).
    assert ctx[key] == value
    assert ("two" in ctx) == (key == "ok")
