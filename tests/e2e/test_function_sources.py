"""Running workers with another source of a run's functions, and files of other folders."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_shell import REPO, Shell

pytestmark = pytest.mark.slow

AGENTS = """from engine.build import agent_function
from priced import price

@agent_function("sources-price")
def own(value):
    return price * value
"""
ESSAY = """from engine.build import Blueprint, ctx, seq, step
from essay_words import words


def draft(topic):
    return f"{words} words about {topic}"


blueprint = Blueprint("essay", seq(step(draft, ctx.topic, out=ctx.text)))
"""

MARKED = """import time
from pathlib import Path

from engine.build import Blueprint, ctx, fanout, step


def draft(gate):
    until = time.monotonic() + 90
    while gate and not Path(gate).exists() and time.monotonic() < until:
        time.sleep(0.05)
    return "MARK"


lane = step(draft, ctx.s, out=ctx.text)
blueprint = Blueprint(
    "marked", fanout(ctx.all, bind=ctx.s, body=lane, out=ctx.texts, select=ctx.text)
)
"""


def blueprint(shell: Shell) -> Path:
    agent = {"name": "own", "kind": "python_fn", "spec": {"fn_id": "sources-price"}}
    flow = {
        "kind": "step",
        "ref": "own",
        "in": {"op": "lit", "value": 2},
        "out": {"op": "path", "at": "$.total"},
    }
    return shell.write(flow, agents=[agent])


def project(shell: Shell) -> Path:
    """Make a project whose agents import another module of it."""
    folder = shell.var / "shop"
    folder.mkdir()
    (folder / "price_agents.py").write_text(AGENTS)
    (folder / "priced.py").write_text("price = 1\n")
    shell.env["SWARM_AGENT_MODULES"] += ",price_agents,priced"
    shell.env["PYTHONPATH"] += f"{os.pathsep}{folder}"
    return folder


def test_workers_with_another_source_of_a_function_are_not_used(shell: Shell):
    folder, file = project(shell), blueprint(shell)
    assert shell.run("run", file, "--keep-workers") == 0, shell.err
    os.utime(folder / "priced.py", (0, 0))
    assert shell.run("run", file) == 0, shell.err
    assert "The workers of run-" in shell.err
    assert json.loads(shell.out)["total"] == 2

    # What the agents' module imports has changed.
    (folder / "priced.py").write_text("price = 100\n")
    assert shell.run("run", file) == 2
    assert "Running workers are not used: the workers of `" in shell.err
    assert "have another source of sources-price. End them with: " in shell.err
    assert shell.run("run", file, "--own-workers") == 2
    assert shell.run("run", file, "--no-workers", "--timeout", "20") == 0, shell.err
    assert "have another source of sources-price. End them with: " in shell.err
    assert json.loads(shell.out)["total"] == 2

    assert shell.run("up", "--stop") == 0, shell.err
    assert list(shell.var.glob("fleets/*")) == []
    assert shell.run("run", file) == 0, shell.err
    assert json.loads(shell.out)["total"] == 200


def test_a_python_file_of_another_folder_runs_with_workers_that_get_the_folder(
    shell: Shell, tmp_path: Path
):
    file = tmp_path / "essay_elsewhere.py"
    file.write_text(ESSAY)
    (tmp_path / "essay_words.py").write_text("words = 200\n")
    assert shell.run("run", file, "--set", "topic=tea") == 0, shell.err
    assert json.loads(shell.out)["text"] == "200 words about tea"

    # Workers that run already have not been given it.
    command = shell.start("up")
    shell.until(lambda: "launch" in shell.out)
    shell.until(lambda: list(shell.var.glob("fleets/*.sources")))
    assert shell.run("run", file, "--set", "topic=tea") == 2
    assert "have no source of essay_elsewhere:draft. End them with: " in shell.err
    command.terminate()
    assert command.wait(60) == 0


def test_a_run_of_another_folder_is_resumed_with_its_folder(
    shell: Shell, tmp_path: Path
):
    file = tmp_path / "essay_resumed.py"
    file.write_text(ESSAY)
    (tmp_path / "essay_words.py").write_text("words = 200\n")
    command = shell.start("run", file, "--set", "topic=tea", "--no-workers")
    shell.until(lambda: "no worker serves" in shell.err)
    run = shell.err.split()[1]
    command.terminate()
    command.wait(30)
    (tmp_path / "essay_words.py").write_text("words = 300\n")
    assert shell.run("runs", "resume", run) == 0, shell.err
    assert json.loads(shell.out)["text"] == "300 words about tea"
    assert "the source has changed of essay_resumed:draft" in shell.err


def marked(folder: Path, mark: str, name: str = "essay") -> Path:
    """Write a flow whose lanes return a mark."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(MARKED.replace("MARK", mark))
    return file


def lanes(count: int, gate: object = "") -> tuple[str, str]:
    """Return the argument for some lanes, which wait until the gate exists."""
    return "--set", f"all={json.dumps([str(gate)] * count)}"


def start(shell: Shell, *words: object) -> subprocess.Popen[str]:
    """Start a command beside others, without its output."""
    return subprocess.Popen(
        shell.line(*words),
        cwd=REPO,
        env=shell.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def texts(file: Path) -> str:
    return "".join(json.loads(file.read_text())["texts"])


def test_two_runs_at_once_do_each_others_steps_only_with_the_same_source(
    shell: Shell, tmp_path: Path
):
    x, y = marked(tmp_path / "x", "x"), marked(tmp_path / "y", "y")
    z = marked(tmp_path / "z", "z", "novel")
    result, gate = tmp_path / "result.json", tmp_path / "gate"
    first = start(shell, "run", x, *lanes(2, gate), "-o", result)
    # Its workers have not started yet.
    shell.until(lambda: list(shell.var.glob("fleets/run-*.sources")))
    for other, function in ((y, "another source of essay"), (z, "no source of novel")):
        for more in ((), ("--own-workers",), ("--in-process",)):
            assert shell.run("run", other, *lanes(4), *more) == 2, shell.err
            assert f"(process {first.pid}) have {function}:draft. Wait" in shell.err
            assert f"manage.py run {x}`" in shell.err
            assert "another SWARM_VAR" in shell.err
    assert shell.run("run", x, *lanes(4), "--json") == 0, shell.err
    assert json.loads(shell.out)["ctx"]["texts"] == ["x"] * 4

    # The same file, edited.
    marked(x.parent, "w")
    assert shell.run("run", x, *lanes(4)) == 2, shell.err
    assert "have another source of essay:draft" in shell.err
    gate.touch()
    assert first.wait(60) == 0
    assert texts(result) == "x" * 2
    assert shell.run("run", y, *lanes(2), "-o", result) == 0, shell.err
    assert texts(result) == "yy"
    assert list(shell.var.glob("fleets/*")) == []


def test_of_two_runs_that_start_at_once_one_is_refused(shell: Shell, tmp_path: Path):
    assert shell.run("run", marked(tmp_path / "x", "x"), *lanes(1)) == 0, shell.err
    gate = tmp_path / "gate"
    files = [marked(tmp_path / mark, mark) for mark in "xy"]
    results = [tmp_path / f"{mark}.json" for mark in "xy"]
    both = [
        start(shell, "run", file, *lanes(20, gate), "-o", result)
        for file, result in zip(files, results, strict=True)
    ]
    shell.until(lambda: any(one.poll() is not None for one in both))
    gate.touch()
    assert sorted(one.wait(60) for one in both) == [0, 2]
    [mark] = [
        mark for mark, result in zip("xy", results, strict=True) if result.exists()
    ]
    assert texts(tmp_path / f"{mark}.json") == mark * 20


def test_workers_without_the_functions_of_a_run_are_not_started_beside_it(
    shell: Shell, tmp_path: Path
):
    result, gate = tmp_path / "result.json", tmp_path / "gate"
    first = start(
        shell, "run", marked(tmp_path / "x", "x"), *lanes(2, gate), "-o", result
    )
    shell.until(lambda: list(shell.var.glob("fleets/run-*.sources")))
    shell.until(lambda: "worker" in "".join(shell.workers()))
    for words in (("up",), ("fleet", "--kind", "python_fn")):
        assert shell.run(*words) == 2, shell.err
        assert f"(process {first.pid}) has not ended, and workers" in shell.err
        assert "would have no source of essay:draft. Wait until" in shell.err
    # One that serves none of its functions.
    fleet = start(shell, "fleet", "--kind", "lua")
    shell.until(lambda: list(shell.var.glob("fleets/worker-*.sources")))
    gate.touch()
    assert first.wait(60) == 0
    assert texts(result) == "x" * 2
    fleet.terminate()
    assert fleet.wait(60) == 0


@pytest.mark.parametrize("stock", [False, True])
def test_workers_of_a_fleet_and_stock_ones_tell_what_they_have(
    shell: Shell, tmp_path: Path, stock: bool
):
    up = shell.start("up", "--no-workers")
    shell.until(lambda: "launch" in shell.out)
    line = shell.line("fleet", "--kind", "python_fn")
    if stock:
        line = [sys.executable, "-m", "celery", "-A", "swarm_project", "worker"]
        line += ["-Q", "swarm.python_fn", "-c", "1"]
    out = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = subprocess.Popen(line, cwd=REPO, env=shell.env, **out)
    shell.until(lambda: list(shell.var.glob("fleets/worker-*.sources")))
    assert shell.run("run", marked(tmp_path / "x", "x"), *lanes(1)) == 2
    assert (
        "Running workers are not used: the workers of `celery worker -n " in shell.err
    )
    assert f"(process {worker.pid}) have no source of essay:draft. Wait" in shell.err
    # A killed one is not asked.
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    shell.until(lambda: not any(" celery " in one for one in shell.workers()))
    assert shell.run("run", marked(tmp_path / "x", "x"), *lanes(1)) == 0, shell.err
    up.terminate()
    assert up.wait(60) == 0
