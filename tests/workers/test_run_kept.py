"""`run NAME@VERSION`: a Blueprint that is kept is run, and its run names the version."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from flow_documents import seq
from kept_blueprints import ADA, register, with_error
from rig import Rig, step

from blueprints.authoring.kept import refuse_unlaunchable
from blueprints.authoring.source import load
from blueprints.preflight import compile_here
from blueprints.selectors.programs import run_program
from blueprints.services.blueprints import blueprint_archive, blueprint_register
from blueprints.services.runs import Launch
from engine.blueprint_store import Content
from workers.runs.launch import launch

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept(settings: Any, tmp_path: Path) -> None:
    """An empty store of Blueprints."""
    settings.SWARM_BLUEPRINTS = str(tmp_path / "kept.git")


def refused(capsys: Any, *args: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        call_command("run", *args, "--json")
    assert ended.value.code == 2
    return json.loads(capsys.readouterr().out)["error"]


def test_a_version_with_errors_is_refused_with_the_findings(capsys: Any) -> None:
    content = Content(with_error())
    blueprint_register("mail", content, actor=ADA, message="x", force=True)

    error = refused(capsys, "mail@")

    assert error["kind"] == "BlueprintInvalid"
    assert [one["kind"] for one in error["diagnostics"]] == ["unresolved-agent-ref"]


def test_a_denied_lint_is_an_error_too(capsys: Any) -> None:
    nothing: Any = {"kind": "seq", "children": []}
    broken = {
        "id": "mail",
        "metadata": {"lints": {"branch-cond-not-boolean": "deny"}},
        "flow": {
            "kind": "branch",
            "cond": {"op": "lit", "value": "yes"},
            "then": nothing,
            "else": nothing,
        },
    }
    blueprint_register("mail", Content(broken), actor=ADA, message="x", force=True)
    compile_here(broken)

    assert refused(capsys, "mail")["kind"] == "BlueprintInvalid"


def test_an_archived_blueprint_and_an_unknown_version_are_refused(capsys: Any) -> None:
    register()
    assert "has no alias 'prod'" in refused(capsys, "mail@prod")["text"]
    blueprint_archive("mail", actor=ADA, message="Old")
    assert "is archived" in refused(capsys, "mail@latest")["text"]
    assert "No Blueprint is named 'nobody'" in refused(capsys, "nobody@")["text"]


def test_a_run_names_the_version_that_was_meant_at_its_launch(rig: Rig) -> None:
    first = register("A", label="1.0.0")
    register("B", label="1.1.0")
    loaded = load("mail@1.0.0", {"includes": (), "ctx": None})
    program = compile_here(loaded.document)
    version = refuse_unlaunchable(loaded)

    run = launch(rig.store, Launch(program, {}, version=version))

    run.refresh_from_db()
    assert run.version == first
    assert run_program(run) == program
    assert rig.launch(seq(step())).version is None
