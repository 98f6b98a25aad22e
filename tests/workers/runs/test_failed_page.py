"""`manage.py runs show RUN --failed`: what failed, with its input, error and log."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.management import call_command
from flow_documents import at, fanout, lit, seq, step
from rig import QUEUE, deliver_all

from blueprints.models import Run, RunEvent
from blueprints.services.runs import Launch
from engine.agents import agent_function, blocked
from engine.blueprint import Program
from engine.blueprint.program import Agent, Retry
from engine.ports import Watch
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs.again import Place, rerun
from workers.runs.launch import launch
from workers.terminal.failed_page import SHOWN
from workers.wiring import make_engine

pytestmark = pytest.mark.django_db(transaction=True)

LANE = {**step("grade", at("$.item"), "$.item"), "name": "grade"}
NEXT = {**step("grade", lit(-1), "$.next"), "name": "next"}
FLOW = seq(fanout(at("$.rows"), LANE, "all_settled", select=at("$.item")), NEXT)


@agent_function("failed-grade")
def grade(row: int, *, step: Any) -> Any:
    for number in range(abs(row) if row > 5 else 1):
        logging.getLogger("blueprints.samples.functions").warning("line %d", number)
    if row == 4:
        return blocked({"reason": "four"})
    if row > 2:
        raise KeyError(row)
    return row


def worked_off(store: RedisStore) -> None:
    """Work off all that is dispatched, and archive it."""
    engine = make_engine(frozenset({QUEUE, "swarm.engine"}), Watch())
    try:
        deliver_all(store, engine)
    finally:
        engine.store.wire.close()
    while Archiver(store).turn():
        pass


def ran(store: RedisStore, rows: list[int], flow: Any = FLOW) -> Run:
    """Work off a run of a lane for each row, and archive it."""
    retry = Retry(max_attempts=2, base_ms=0)
    spec = {"fn_id": "failed-grade"}
    agents = {"grade": Agent("grade", "python_fn", QUEUE, 5000, spec=spec, retry=retry)}
    run = launch(
        store, Launch(Program("b", flow, agents, dialect="swarm"), {"rows": rows})
    )
    worked_off(store)
    run.refresh_from_db()
    return run


def printed(capsys: Any, *args: str) -> str:
    call_command("runs", *args)
    return str(capsys.readouterr().out)


def failed(capsys: Any, run: Run) -> list[Any]:
    """Return the failed steps of a run."""
    text = printed(capsys, "show", run.pk, "--failed", "--json")
    return list(json.loads(text)["failed"])


def test_each_failed_step_has_lane_input_error_and_the_end_of_its_log(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, [1, 3, 2, 8])
    page = printed(capsys, "show", "latest", "--failed")
    assert page.startswith(f"run {run.pk}  done\n\n2 steps failed\n\n✘ grade[lane ")
    assert "  2 attempts  (/children/0/lane[1])\n  KeyError: 3\n" in page
    assert "\n  input:\n    3\n  log:\n" in page
    assert "log (the last 5 of 18 lines):" in page
    assert page.endswith(f"runs rerun {run.pk} --failed\n")
    three, eight = sorted(failed(capsys, run), key=lambda one: one["lanes"])
    assert (three["name"], three["lanes"]) == ("grade[lane 1]", [1])
    assert (three["input"], three["error"]) == (3, "KeyError: 3")
    assert [line["attempt"] for line in three["log"]] == [1, 1, 2, 2]
    assert (eight["log_total"], len(eight["log"])) == (18, 5)
    assert eight["log"][-2]["text"] == "WARNING line 7"


def test_an_answer_of_no_is_shown_with_what_it_said(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, [1, 4])
    [found] = failed(capsys, run)
    assert (found["status"], found["input"]) == ("blocked", 4)
    assert found["output"] == {"reason": "four"}
    assert '  output:\n    {\n      "reason": "four"' in printed(
        capsys, "show", "latest", "--failed"
    )


def test_an_input_that_the_journal_does_not_keep_comes_from_a_replay(
    store: RedisStore, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ran(store, [1, 3])
    # As of a step whose workers were killed: nobody has written what it got.
    RunEvent.objects.filter(run=run).update(kinds="")
    [found] = failed(capsys, run)
    assert (found["input"], found["missing"]) == (3, "")


def test_what_an_earlier_generation_has_kept_is_shown_too(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, [3, 8])
    rerun(store, run, Place("/children/1"))
    worked_off(store)
    assert failed(capsys, run) == failed(capsys, Run.objects.get(pk=run.pk))
    run.refresh_from_db()
    assert run.generation == 2
    assert [len(one["log"]) for one in failed(capsys, run)] == [4, 5]


def test_a_run_that_fails_between_steps_has_its_error_alone(
    store: RedisStore, capsys: Any
) -> None:
    wrong = {**step("grade", at("$.nowhere"), "$.x"), "name": "wrong"}
    run = ran(store, [1], seq(NEXT, wrong))
    page = printed(capsys, "show", "latest", "--failed")
    assert page.startswith(f"run {run.pk}  failed\n  PathNotFound: ")
    assert page.endswith("\nno step has failed\n")


def test_of_many_failed_steps_the_first_ones_are_shown(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store, [3] * (SHOWN + 5))
    page = printed(capsys, "show", "latest", "--failed")
    assert page.count("✘ grade[lane ") == SHOWN
    assert "… and 5 more; --json has all of them" in page
    assert len(failed(capsys, run)) == SHOWN + 5
