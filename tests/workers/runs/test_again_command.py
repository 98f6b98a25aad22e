"""`manage.py runs rerun` and `runs fork`: what they print, refuse and change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from flow_documents import at, seq, step
from rig import QUEUE, deliver_all

from blueprints.models import Run, RunGeneration
from blueprints.services.runs import Launch
from engine.agents import agent_function
from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.ports import Watch
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs.launch import launch
from workers.wiring import make_engine

pytestmark = pytest.mark.django_db(transaction=True)


@agent_function("again-add")
def add(number: Any, *, step: Any) -> Any:
    return number + 1


def worked_off(store: RedisStore) -> None:
    """Work off all that is dispatched, and archive it."""
    engine = make_engine(frozenset({QUEUE, "swarm.engine"}), Watch())
    try:
        deliver_all(store, engine)
    finally:
        engine.store.wire.close()
    Archiver(store).turn()


@pytest.fixture
def run(store: RedisStore) -> Run:
    """A run of two steps that has ended."""
    named = [{**step("add", at("$.n"), "$.n"), "name": name} for name in ("one", "two")]
    agents = {
        "add": Agent("add", "python_fn", QUEUE, 5000, spec={"fn_id": "again-add"})
    }
    flow = Program("b", seq(*named), agents, dialect="swarm")
    made = launch(store, Launch(flow, {"n": 1}))
    worked_off(store)
    made.refresh_from_db()
    assert made.result == {"n": 3}
    return made


def printed(capsys: Any, *args: str) -> str:
    call_command("runs", *args)
    return str(capsys.readouterr().out)


def refused(*args: str) -> str:
    with pytest.raises(CommandError) as ended:
        call_command("runs", *args)
    assert ended.value.returncode == 2
    return str(ended.value)


def test_a_rerun_is_printed_and_shown(store: RedisStore, run: Run, capsys: Any) -> None:
    out = printed(capsys, "rerun", run.pk, "--from", "two", "--json")
    begun = {"run": run.pk, "generation": 2, "status": "running"}
    assert json.loads(out) == {**begun, "kept": 1, "dropped": 1}
    worked_off(store)
    call_command("runs", "show", run.pk)
    shown = capsys.readouterr().out
    assert "generation 1: done" in shown
    assert "generation 2: done, rerun from /children/1" in shown
    call_command("runs", "show", run.pk, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ctx"] == {"n": 3}
    assert [one["generation"] for one in report["generations"]] == [1, 2]
    assert [one["status"] for one in report["steps"]] == ["passed", "passed"]


def test_what_a_generation_has_kept_is_told_and_exported(
    store: RedisStore, run: Run, capsys: Any, tmp_path: Path
) -> None:
    printed(capsys, "rerun", run.pk, "--from", "two")
    worked_off(store)
    report = json.loads(printed(capsys, "show", run.pk, "one", "--json"))
    [attempt] = report["attempts"]
    assert (attempt["input"], attempt["output"], report["missing"]) == (1, 2, {})
    assert (report["ctx_before"], report["ctx_after"]) == ({"n": 1}, {"n": 2})
    report = json.loads(printed(capsys, "show", run.pk, "two", "--json"))
    assert (report["missing"], report["ctx_before"]) == ({}, {"n": 2})

    path = tmp_path / "run.jsonl"
    printed(capsys, "export", run.pk, "-o", str(path))
    first, begun = json.loads(path.read_bytes().splitlines()[0])["generations"]
    assert first["snapshot"] is None
    assert begun["snapshot"]["gen"] == 2


def test_a_fork_names_its_origin(store: RedisStore, run: Run, capsys: Any) -> None:
    out = printed(capsys, "fork", run.pk, "--from", "two", "--set", "n=40", "--json")
    pk = json.loads(out)["run"]
    worked_off(store)
    call_command("runs", "show", pk, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ctx"] == {"n": 41}
    assert report["origin"] == {"run": run.pk, "place": "/children/1"}
    run.refresh_from_db()
    assert run.result == {"n": 3}


def test_what_is_refused_changes_nothing(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    assert "has no step 'nowhere' that has begun" in refused(
        "rerun", run.pk, "--from", "nowhere"
    )
    assert "2 steps of run" in refused("rerun", run.pk, "--from", "add")
    assert "nothing was changed" in refused("rerun", run.pk, "--failed")
    assert "expected a.b=VALUE" in refused(
        "fork", run.pk, "--from", "two", "--set", "n"
    )
    assert "nothing was changed" in refused(
        "fork", run.pk, "--from", "two", "--blueprint", "unknown@v1"
    )
    assert (Run.objects.count(), RunGeneration.objects.count()) == (1, 0)
    printed(capsys, "rerun", run.pk)
    assert "only an ended run can begin again" in refused("rerun", run.pk)


def test_an_earlier_generation_is_shown_as_it_was(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    Run.objects.filter(pk=run.pk).update(error={"kind": "Old", "text": "was bad"})
    printed(capsys, "rerun", run.pk, "--from", "two")
    worked_off(store)
    for verb in (
        ("show", run.pk, "two"),
        ("logs", run.pk),
        ("show", run.pk, "--failed"),
    ):
        printed(capsys, *verb, "--generation", "1")
    first = json.loads(printed(capsys, "show", run.pk, "--generation", "1", "--json"))
    newest = json.loads(printed(capsys, "show", run.pk, "--json"))
    assert first["error"] == {"kind": "Old", "text": "was bad"}
    assert newest["error"] is None
    assert first["generations"] == newest["generations"]
    assert "has no generation 3; it has 1, 2" in refused(
        "show", run.pk, "--generation", "3"
    )


def test_a_misspelt_step_is_told_the_nearest_one(run: Run) -> None:
    for verb in ("rerun", "fork"):
        assert "no step 'tow' that has begun; did you mean 'two'?" in refused(
            verb, run.pk, "--from", "tow"
        )
    assert "has no such visit" in refused("rerun", run.pk, "--from", "two[4]")
