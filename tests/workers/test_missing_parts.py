"""What is missing here is found before a run starts or continues."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from blueprints.models import Run
from blueprints.preflight import compile_here
from blueprints.services.runs import Launch, run_create


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("run", *args)
    return int(ended.value.code)


def lacking(file: Path) -> str:
    """Write a Blueprint that lacks one of each here."""
    call = {"op": "call_extern", "ref": "no-such", "args": []}
    at = {"op": "path", "at": "$.x"}
    flow = {"kind": "assign", "at": at, "value": call}
    agents = [
        {"name": "f", "kind": "python_fn", "spec": {"fn_id": "no-such-function"}},
        {"name": "s", "kind": "lua", "spec": {"fn_id": "no-such-script"}},
        {"name": "b", "kind": "lua", "spec": {"source": "return ("}},
        {"name": "p", "kind": "subprocess", "spec": {"program": "no-such-program"}},
    ]
    document = {"schema_version": "0.1.0", "id": "b", "flow": flow, "agents": agents}
    file.write_text(json.dumps(document))
    return str(file)


KINDS_OF_LACK = {
    "unregistered-extern",
    "unknown-function",
    "unknown-script",
    "script-broken",
    "program-not-found",
}


def test_run_finds_all_that_blueprint_doctor_finds(capsys: Any, tmp_path: Path):
    file = lacking(tmp_path / "b.json")
    assert run(file, "--json") == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)["error"]["diagnostics"]
    assert {one["kind"] for one in found} == KINDS_OF_LACK
    assert "error: no function 'no-such' is registered here" in printed.err
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()

    with pytest.raises(SystemExit):
        call_command("blueprint", "doctor", file, "--json")
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert missing == found

    # Programs are the workers' business, where those are started elsewhere.
    assert run(file, "--json", "--no-workers") == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)["error"]["diagnostics"]
    assert {one["kind"] for one in found} == KINDS_OF_LACK - {"program-not-found"}
    assert "[program-not-found]; check that the workers have it" in printed.err


@pytest.mark.django_db
def test_a_run_is_not_resumed_where_its_parts_are_missing(capsys: Any, tmp_path: Path):
    program = compile_here(json.loads(Path(lacking(tmp_path / "b.json")).read_text()))
    kept = run_create(Launch(program=program, ctx={}))
    Run.objects.filter(pk=kept.pk).update(status="running")
    with pytest.raises(SystemExit) as ended:
        call_command("runs", "resume", kept.pk, "--json")
    printed = capsys.readouterr()
    assert ended.value.code == 2
    answer = json.loads(printed.out)
    assert (answer["run"], answer["status"]) == (kept.pk, "refused")
    assert {one["kind"] for one in answer["error"]["diagnostics"]} == KINDS_OF_LACK
    assert f"run {kept.pk} can't run; 5 findings:" in printed.err
    assert printed.err.endswith("Nothing was started.\n")
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()
    kept.refresh_from_db()
    assert kept.status == "running"
