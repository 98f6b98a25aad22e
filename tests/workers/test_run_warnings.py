"""`run` reports what `blueprint lint` warns of, before it starts anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

UNREACHABLE = "redis://127.0.0.1:1/0"


SCRIPT = """
local B = require "bp_dsl"
print("made by a script")
local flow = B.pipeline { B.stage "a" { agent = "a", input = "$" }, halt_on = { "NO" } }
return B.bp { id = "b", flow = flow, agents = {
  { name = "a", kind = "python_fn", spec = { fn_id = "identity" } } } }
"""
MISTAKEN: Any = {
    "id": "b",
    "dialect": "swarm",
    "default_init_ctx": {"rows": []},
    "flow": {
        "kind": "branch",
        "cond": "'yes'",
        "then": {"kind": "let", "at": "$.n", "value": "$.rosw"},
        "else": {"kind": "seq", "children": []},
    },
}


@pytest.fixture
def before_start(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what `run` writes to standard error before it needs Redis."""
    monkeypatch.setenv("SWARM_REDIS_URL", UNREACHABLE)
    monkeypatch.setattr(settings, "SWARM_STATE_URL", UNREACHABLE)

    def run(path: Path, *args: str) -> str:
        with pytest.raises(SystemExit):
            call_command("run", str(path), *args)
        text, mark, _ = capsys.readouterr().err.partition("Redis at")
        assert mark, text
        return str(text)

    return run


@pytest.mark.django_db
def test_run_prints_the_warnings_of_lint_and_starts(
    tmp_path: Path, before_start: Any, capsys: Any
) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps(MISTAKEN, indent=1))
    with pytest.raises(SystemExit):
        call_command("blueprint", "lint", str(path))
    found = capsys.readouterr().out
    assert f"{path}:9:" in found
    assert found.count("[branch-cond-not-boolean]") == 1
    assert found.count("[path-never-written]") == 1
    assert before_start(path) == found
    assert before_start(path, "--json") == found
    assert before_start(path, "--quiet") == ""
    # What the launch gives is known here.
    given = before_start(path, "--ctx", '{"rosw": 1}')
    assert "[branch-cond-not-boolean]" in given
    assert "[path-never-written]" not in given
    path.write_text(json.dumps({**MISTAKEN, "metadata": {"lints": {"all": "allow"}}}))
    assert before_start(path) == ""


@pytest.mark.slow
@pytest.mark.django_db
def test_a_warning_of_the_lua_dsl_is_printed_once(
    tmp_path: Path, before_start: Any, capsys: Any
) -> None:
    path = tmp_path / "b.bp.lua"
    path.write_text(SCRIPT)
    text = before_start(path)
    assert text.startswith("made by a script\n")
    assert text.count("halt_on is given, but no stage") == 1
    assert text.count("[dsl-warning]") == 1
    path.write_text(SCRIPT.replace('kind = "python_fn"', 'kind = "pyton_fn"'))
    with pytest.raises(SystemExit):
        call_command("run", str(path))
    text = capsys.readouterr().err
    assert text.count("made by a script") == 1
    assert text.count("halt_on is given, but no stage") == 1


@pytest.mark.django_db
def test_run_reports_what_has_no_effect_yet_unless_it_is_allowed(
    tmp_path: Path, before_start: Any
) -> None:
    path = tmp_path / "b.json"

    def warning(document: Any) -> str:
        path.write_text(json.dumps(document))
        return str(before_start(path))

    agent = {
        "name": "a",
        "kind": "python_fn",
        "spec": {"fn_id": "identity"},
        "meta": {"ctx": {"project": "swarm"}},
    }
    document: Any = {"id": "b", "flow": {"kind": "seq", "children": []}}
    document |= {"agents": [agent], "degradation_policy": "warn"}

    text = warning(document)
    assert text.count("[not-in-effect-yet]") == 1
    assert "warning: 2 parts have no effect yet; see: " in text

    agent["lints"] = {"not-in-effect-yet": "allow"}
    assert "warning: 1 part has no effect yet; see: " in warning(document)
    del document["degradation_policy"]
    assert warning(document) == ""
