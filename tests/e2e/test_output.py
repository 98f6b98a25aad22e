"""Output events of agents, seen from a terminal; with real processes."""

import json
import subprocess
import sys
from typing import Any

import pytest
from command_shell import REPO, Shell

pytestmark = pytest.mark.slow


def talk(seconds: float) -> Any:
    """Return a flow of one step that talks and naps."""
    step = {
        "kind": "step",
        "ref": "talk",
        "in": {"op": "lit", "value": seconds},
        "out": {"op": "path", "at": "$.x"},
    }
    return {"kind": "seq", "children": [step]}


def shown(shell: Shell, run: str, *args: str) -> str:
    """Return what `runs show` prints, while another command continues."""
    return subprocess.run(
        [sys.executable, "manage.py", "runs", "show", run, *args],
        cwd=REPO,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


def test_stage_and_log_are_seen_while_the_step_runs(shell: Shell):
    command = shell.start("run", shell.write(talk(6)))
    shell.until(lambda: len(shell.calls()) == 1)
    shell.until(lambda: "reading: 1 of 2" in shell.err)
    line = "  log      talk  python_fn  /children/0  read 6"
    shell.until(lambda: line in shell.err)
    assert "passed" not in shell.err
    run = shell.err.split()[1]
    live = ""
    for _ in range(3):
        live = shown(shell, run)
        if "reading: 1 of 2" in live:
            break
    assert "reading: 1 of 2" in live
    assert "read 6" in live
    assert command.poll() is None

    assert command.wait(30) == 0, shell.err
    assert json.loads(shell.out)["x"] == {"out": "done", "parts": {"plan.md": "# Plan"}}
    lines = [line.split()[0] for line in shell.err.splitlines()[1:-2]]
    assert lines == ["running", "log", "running", "part", "passed"]
    assert '  part   /children/0  plan.md: "# Plan"\n' in shown(shell, run)
    report = json.loads(shown(shell, run, "--json"))
    assert report["steps"][0]["stage"] == "writing"
    assert [line["text"] for line in report["log"]] == ["read 6"]
    assert report["log_total"] == 1


def test_a_worker_serves_what_works_beside_a_broken_module(shell: Shell):
    (shell.var / "broken_agents.py").write_text("raise RuntimeError('no licence')\n")
    path = f"{shell.env['PYTHONPATH']}:{shell.var}"
    modules = "broken_agents,e2e_agents"
    file = shell.write(talk(0))

    assert shell.run("run", file, SWARM_AGENT_MODULES=modules, PYTHONPATH=path) == 0, (
        shell.err
    )
    logs = "".join(p.read_text() for p in shell.var.rglob("*.log"))
    printed = [line for line in logs.splitlines() if "'broken_agents'" in line]
    assert len(printed) == 1
    assert "can't be imported: RuntimeError: no licence" in printed[0]


def test_a_child_process_is_seen_while_it_builds(shell: Shell):
    sample = "blueprints/samples/stream-build.json"
    root = shell.var / "src"
    root.mkdir()
    for number in range(150):
        (root / f"m{number:03}.py").write_text("x = [1, 2, [3, 4], {5: 6}]\n" * 2000)

    command = shell.start("run", sample, "--set", f"root={root}")
    shell.until(lambda: f"/body/children/0  scan: {root}" in shell.err)
    shell.until(lambda: "compile: " in shell.err)
    assert "passed" not in shell.err
    assert command.poll() is None
    assert command.wait(60) == 0, shell.err
    assert "part     builder  subprocess  /body/children/0  broken" in shell.err
    assert "final    builder  subprocess  /body/children/0  by builder: {" in shell.err
    run = shell.err.split()[1]
    printed = shown(shell, run)
    assert "  part   /body/children/0  broken: []\n" in printed
    assert "  final  /body/children/0  by builder\n" in printed
    ctx = json.loads(shell.out)
    assert ctx["verdict"] == "built"
    assert ctx["build"]["parts"] == {"broken": []}
    assert ctx["build"]["out"]["compiled"] == 150
    assert shell.workers() == []

    for path in root.iterdir():
        path.unlink()
    (root / "bad.py").write_text("def f(:\n")
    assert shell.run("run", sample, "--set", f"root={root}") == 0, shell.err
    assert json.loads(shell.out)["verdict"] == "broken"
    assert "bad.py: SyntaxError: invalid syntax" in shell.err
