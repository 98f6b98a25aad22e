"""Commands as a person types them."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from blueprints.command_line import console_script, typed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("program", "plain", "with_uv"),
    [
        ("manage.py", "python manage.py runs list", "uv run manage.py runs list"),
        ("/a/bin/swarm", "swarm runs list", "uv run swarm runs list"),
        # A worker of a checkout, which has a manage.py.
        ("celery", "python manage.py runs list", "uv run manage.py runs list"),
    ],
)
def test_a_command_is_printed_as_this_one_was_started(
    program: str, plain: str, with_uv: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", [program])
    monkeypatch.delenv("UV", raising=False)
    assert typed("runs list") == plain
    monkeypatch.setenv("UV", "/usr/bin/uv")
    assert typed("runs list") == with_uv


def test_a_worker_of_a_project_without_manage_py_names_the_console_script(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["celery"])
    settings.SWARM_PROJECT_DIR = tmp_path
    assert typed("up") == "swarm up"


def test_outside_of_the_checkout_uv_needs_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["swarm"])
    monkeypatch.setenv("UV", "/usr/bin/uv")
    monkeypatch.chdir(tmp_path)
    assert typed("up") == f"uv run --project {ROOT} swarm up"
    assert console_script(tmp_path) == f"uv run --project {ROOT} swarm"
    assert console_script(ROOT / "new") == "uv run swarm"


def test_a_console_script_that_is_not_on_path_is_named_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = Path(sys.executable).with_name("swarm")
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(script.parent))
    assert console_script(tmp_path) == "swarm"
    # Another Python's does not have this environment.
    (tmp_path / "swarm").touch(mode=0o755)
    for path in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("PATH", str(path))
        assert console_script(tmp_path) == str(script)


def test_no_text_of_the_code_names_a_start_of_its_own():
    """All of them are made by `typed`, or they are wrong for one of the two starts."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for layer in ("engine", "blueprints", "workers", "swarm_project")
        for path in sorted((ROOT / layer).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and "python manage.py" in str(node.value)
    ]
    assert found == []
