"""`manage.py blueprint new` and `run`: every scaffold runs as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_shell import REPO, Shell

from blueprints.authoring.new import SHAPES
from engine.flow.grammar import DIALECTS

pytestmark = pytest.mark.slow

# What the run ends with, by shape and dialect.
TEXT = "Draft 2 about durable runs."
ENDS: dict[str, dict[str, Any]] = {
    "single flow.ir": {"result": {"topic": "durable runs"}},
    "single swarm": {"result": {"topic": "durable runs"}},
    "pipeline flow.ir": {"done": True, "publish": {"title": "After 2 drafts"}},
    "pipeline swarm": {"done": True, "result": TEXT},
    "verdict flow.ir": {"result": TEXT, "round": 1},
    "verdict swarm": {"result": TEXT, "round": 1},
    "fanout flow.ir": {"result": {"items": 3, "fine": 3}},
    "fanout swarm": {"result": {"items": 3, "fine": 3}},
}


def holds(value: Any, part: Any) -> bool:
    """Return whether an object has all fields of another."""
    if isinstance(part, dict):
        return all(key in value and holds(value[key], part[key]) for key in part)
    return bool(value == part)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_scaffold_runs_to_its_end(
    kept: Shell, tmp_path: Path, shape: str, dialect: str
):
    made = kept.run(
        "blueprint", "new", shape, "tried", "--dir", tmp_path, "--dialect", dialect
    )
    assert made == 0, kept.err
    assert kept.run("blueprint", "lint", "--strict", tmp_path / "tried") == 0, kept.out
    assert kept.run("run", tmp_path / "tried", "--json") == 0, kept.err
    shown = json.loads(kept.out)
    assert shown["status"] == "done"
    assert holds(shown["ctx"], ENDS[f"{shape} {dialect}"]), shown["ctx"]


def test_what_build_writes_runs_far_from_its_files(shell: Shell, tmp_path: Path):
    shell.run("blueprint", "new", "pipeline", "tried", "--dir", tmp_path)
    out = tmp_path / "far.json"
    assert shell.run("blueprint", "build", tmp_path / "tried", "-o", out) == 0
    (tmp_path / "tried").rename(tmp_path / "gone")
    assert shell.run("run", out, "--set", "topic=moss") == 0, shell.err
    assert json.loads(shell.out)["draft"]["text"] == "Draft 2 about moss."
    shell.until(lambda: not shell.workers())


def test_a_reader_that_has_seen_enough_gets_no_stack_trace(shell: Shell):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "manage.py", "blueprint", "schema"],
        cwd=REPO,
        env=shell.env,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
