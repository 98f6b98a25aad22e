"""Commands as a person types them."""

import ast
from pathlib import Path

import pytest

from blueprints.command_line import typed

ROOT = Path(__file__).resolve().parents[2]


def test_a_command_is_told_as_this_one_was_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("UV", raising=False)
    assert typed("runs list") == "python manage.py runs list"
    monkeypatch.setenv("UV", "/usr/bin/uv")
    assert typed("runs list") == "uv run manage.py runs list"


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
