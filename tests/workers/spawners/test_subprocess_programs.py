"""No input chooses the program: it is found before the input is read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from first_step import STEP_ID

from engine.blueprint import Program
from engine.run.attempt.outcomes import Outcome

Attempt = Callable[..., Outcome]


@pytest.fixture
def attempt(child: Any, compiled: Callable[..., Program]) -> Attempt:
    """Makes an attempt of an agent of one spec, in a run that has a folder or none."""

    def make(value: Any, folder: Path | None = None, **spec: Any) -> Outcome:
        program = compiled([{"name": "child", "spec": spec}])
        if folder is not None:
            program = program.in_folder(str(folder))
        outcome: Outcome = child.attempt(program, "child", value)
        return outcome

    return make


def folder_with(place: Path, **files: str) -> Path:
    """Make a folder of executable files."""
    place.mkdir()
    for name, text in files.items():
        file = place / name.replace("_py", ".py")
        file.write_text(text)
        file.chmod(0o755)
    return place


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder that an input names, with programs that no Blueprint names."""
    says = "#!/bin/sh\necho '\"stolen\"'\n"
    return folder_with(tmp_path / "trap", tool=says, env=says, json_py="print(666)")


@pytest.fixture
def launched(tmp_path: Path) -> Path:
    """The folder that the launch names, with a program of the same name."""
    text = "#!/bin/sh\npwd >&2; echo '\"meant\"'\n"
    return folder_with(tmp_path / "launched", tool=text)


@pytest.mark.parametrize("part", ["", ".", "bin"])
def test_a_word_is_not_looked_up_in_the_folder_of_the_input(
    attempt: Attempt, trap: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trap / "bin").symlink_to(".")
    monkeypatch.setenv("PATH", f"{part}{os.pathsep}{os.environ['PATH']}")
    given = {"work_dir": str(trap)}
    outcome = attempt(given, argv=["tool"])
    assert (outcome.kind, outcome.text) == (
        "failed",
        "cannot run 'tool': No such file or directory",
    )
    # Nor by what is started: its PATH has no such part either.
    assert attempt(given, argv=["sh", "-c", "tool || echo 1"]).value == 1
    # A PATH that the Blueprint gives is the child's; it does not say what is started.
    outcome = attempt(given, argv=["tool"], env={"PATH": "{work_dir}"})
    assert "cannot run 'tool'" in outcome.text
    outcome = attempt(given, argv=["env"], env={"PATH": "{work_dir}:."})
    assert f"SWARM_STEP_ID={STEP_ID}" in outcome.value["raw"]


@pytest.mark.parametrize(
    "spec",
    [
        {"argv": ["./tool"]},
        {"argv": ["{work_dir}/tool"]},
        {"argv": ["./tool"], "cwd": "{work_dir}"},
        {"program": "./tool", "cwd": "{work_dir}"},
    ],
)
def test_a_relative_program_is_that_of_the_launch_or_none(
    attempt: Attempt, trap: Path, launched: Path, spec: dict[str, Any]
) -> None:
    given = {"work_dir": str(trap)}
    outcome = attempt(given, **spec)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert "relative to the run's folder, and the run has none: launch" in outcome.text
    assert attempt(given, launched, **spec).value == "meant"


def test_the_folder_of_the_launch_comes_before_that_of_the_input(
    attempt: Attempt, trap: Path, launched: Path
) -> None:
    given = {"work_dir": str(trap)}
    for argv in (["pwd"], ["echo", "{work_dir}"]):
        assert attempt(given, argv=argv).value["raw"] == str(trap)
        assert attempt(given, launched, argv=argv).value["raw"] == str(launched)


def test_python_imports_nothing_from_where_it_runs(
    attempt: Attempt, trap: Path
) -> None:
    given = {"work_dir": str(trap)}
    exact = f"python3.{sys.version_info.minor}"
    for word in ("python3", "python", exact):
        code = "import json; print(json.dumps(1))"
        assert attempt(given, argv=[word, "-c", code]).value == 1
    module = attempt(given, argv=["python3", "-m", "tool"])
    assert "No module named tool" in module.text
    plain = attempt(given, program="python3", args=["-c", code], cwd="{work_dir}")
    assert plain.value == 1
