"""`manage.py runs replay`, and the steps that `runs show` has from a replay."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.core.management import call_command
from flow_documents import at, fanout, lit, seq, step
from rig import QUEUE, deliver_all

from blueprints.models import Run, RunEvent, Step
from blueprints.selectors.replayed_entries import chain_entries, step_address
from blueprints.services.runs import Launch
from engine.agents import agent_function
from engine.blueprint import Program
from engine.blueprint.program import Agent, Retry
from engine.ports import Watch
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs.launch import launch
from workers.wiring import make_engine

pytestmark = pytest.mark.django_db(transaction=True)


@agent_function("replay-add")
def add(number: Any, *, step: Any) -> Any:
    if number == 13:
        raise KeyError("thirteen")
    return number + 1


def ran(store: RedisStore, flow: Any, ctx: Any, *, upto: int | None = None) -> Run:
    """Work off a run, or its first messages, and archive it."""
    spec = {"fn_id": "replay-add"}
    agents = {"add": Agent("add", "python_fn", QUEUE, 5000, spec=spec, retry=Retry())}
    run = launch(store, Launch(Program("b", flow, agents, dialect="swarm"), ctx))
    if upto is None:
        engine = make_engine(frozenset({QUEUE, "swarm.engine"}), Watch())
        try:
            deliver_all(store, engine)
        finally:
            engine.store.wire.close()
    archiver = Archiver(store)
    while archiver.turn():
        pass
    run.refresh_from_db()
    return run


ADD = {**step("add", at("$.n"), "$.n"), "name": "more"}
LANE = {**step("add", at("$.item"), "$.item"), "name": "lane"}
FLOW = seq(ADD, fanout(at("$.rows"), LANE, "all_settled", select=at("$.item")))


def printed(capsys: Any, *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        call_command("runs", *args)
    return int(ended.value.code or 0), str(capsys.readouterr().out)


def test_a_run_is_replayed_to_its_end_and_to_any_entry(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, FLOW, {"n": 1, "rows": [7, 13]})
    code, page = printed(capsys, "replay", "latest")
    assert code == 0
    assert page.startswith(f"run {run.pk}  done after entry {run.archived_number}\n")
    assert page.endswith("the journal and the program agree\n")
    code, text = printed(capsys, "replay", run.pk, "--json")
    report = json.loads(text)
    assert (code, report["difference"]) == (0, None)
    assert report["ctx"] == run.result
    code, text = printed(capsys, "replay", run.pk, "--to", "1", "--json")
    report = json.loads(text)
    assert (report["number"], report["status"]) == (1, "running")
    assert report["ctx"] == {"n": 1, "rows": [7, 13]}
    assert report["chains"] == [
        {"addr": "0", "place": "/children/0", "state": "pending"}
    ]


def test_a_changed_journal_or_end_is_told(store: RedisStore, capsys: Any) -> None:
    run = ran(store, FLOW, {"n": 1, "rows": [7, 13]})
    Run.objects.filter(pk=run.pk).update(result={"n": 3})
    code, page = printed(capsys, "replay", run.pk)
    assert code == 1
    assert f"the replay of run {run.pk} ends with another final Ctx" in page
    RunEvent.objects.filter(run=run, number=2).delete()
    code, text = printed(capsys, "replay", run.pk, "--json")
    found = json.loads(text)["difference"]
    assert (code, found["number"]) == (1, 3)
    assert (found["journal"], found["program"]) == ("number 3", "number 2")
    call_command("runs", "show", run.pk, "more")
    page = capsys.readouterr().out
    assert "ctx after" in page


def test_a_run_without_an_archive_is_before_its_first_entry(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, FLOW, {"n": 1, "rows": []}, upto=0)
    RunEvent.objects.filter(run=run).delete()
    code, text = printed(capsys, "replay", run.pk, "--json")
    report = json.loads(text)
    assert (code, report["number"], report["ctx"]) == (0, 0, None)


def test_a_step_shows_its_input_and_the_ctx_before_and_after(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, FLOW, {"n": 1, "rows": [7, 13]})
    for name, given, before, after in (
        ("more", 1, {"n": 1}, {"n": 2}),
        ("lane[lane 0]", 7, {"n": 2, "item": 7}, {"n": 2, "item": 8}),
        ("lane[lane 1]", 13, {"n": 2, "item": 13}, {"n": 2, "item": 13}),
    ):
        call_command("runs", "show", run.pk, name, "--json")
        got = json.loads(capsys.readouterr().out)
        rows = {"rows": [7, 13]}
        assert got["attempts"][0]["input"] == given
        assert (got["ctx_before"], got["ctx_after"]) == (before | rows, after | rows)
        assert got["missing"] == {}


def test_a_step_that_has_not_ended_has_its_input(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, FLOW, {"n": 1, "rows": []}, upto=0)
    call_command("runs", "show", run.pk, "more", "--json")
    got = json.loads(capsys.readouterr().out)
    assert got["attempts"] == []
    assert got["ctx_before"] == {"n": 1, "rows": []}
    assert got["missing"] == {"after": "the step has not ended"}


def test_a_lane_of_a_wide_fanout_is_shown_without_its_siblings(
    store: RedisStore, capsys: Any
) -> None:
    """The fanout before it is read, since the Ctx has its result."""
    rows = list(range(200, 500))
    flow = seq(
        fanout(lit([1, 2]), LANE, out="$.first"),
        fanout(at("$.rows"), seq(LANE, ADD), select=at("$.item")),
    )
    run = ran(store, flow, {"n": 1, "rows": rows})
    assert run.status == "done"
    steps = 2 * len(rows) + 2
    assert RunEvent.objects.filter(run=run).count() > steps / 2
    lane = Step.objects.get(run=run, place="/children/1/lane[123]/children/0")
    began = time.monotonic()
    chain = step_address(run, lane.place, [lane.finished_at])
    assert chain is not None
    read = chain_entries(run, chain)
    took = time.monotonic() - began
    assert len(read) < 40, f"{len(read)} entries in {took:.3f} s"
    call_command("runs", "show", run.pk, lane.place, "--json")
    got = json.loads(capsys.readouterr().out)
    assert got["attempts"][0]["input"] == 323
    assert got["ctx_before"]["item"] == 323
    assert got["ctx_after"]["item"] == 324
    assert [one["item"] for one in got["ctx_before"]["first"]] == [2, 3]
