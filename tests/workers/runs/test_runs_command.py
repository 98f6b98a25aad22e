"""`manage.py runs pause` and `forget`, against a real server and no worker."""

import json
import sys
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from blueprints.models import Run
from blueprints.services.runs import Launch
from engine.agents import agent_function
from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.ports import Watch
from engine.store.base import ENGINE_QUEUE, ROOT, Ref
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.process.posix import locked
from workers.runs.control import resume_run
from workers.runs.launch import launch
from workers.steward.candidate import steward_lock
from workers.terminal.reporter import Reporter
from workers.wiring import make_engine

QUEUE = "swarm.python_fn"
STEP = {
    "kind": "step",
    "ref": "one",
    "in": {"op": "lit", "value": 1},
    "out": {"op": "path", "at": "$.n"},
}

pytestmark = pytest.mark.django_db(transaction=True)


@agent_function("runs-command-one")
def one(value: Any, *, step: Any) -> Any:
    """Return the input."""
    return value


def launched(store: RedisStore, flow: Any, ctx: Any = None) -> Run:
    agent = Agent("one", "python_fn", QUEUE, 5000, spec={"fn_id": "runs-command-one"})
    return launch(store, Launch(Program("b", flow, {"one": agent}), ctx or {}))


def delivered(run: Run, queue: str) -> str:
    """Take a run's next message as a worker does."""
    engine = make_engine(frozenset({QUEUE}), Watch())
    try:
        return engine.deliver(Ref(run.pk, 1, ROOT), queue)
    finally:
        engine.store.wire.close()


def runs(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("runs", *args)
    return int(ended.value.code)


def test_a_paused_run_begins_no_step_until_it_is_resumed(
    store: RedisStore, capsys: Any
):
    run = launched(store, {"kind": "seq", "children": [STEP]})
    assert runs("pause", run.pk) == 0
    resume = f"python manage.py runs resume {run.pk}"
    assert capsys.readouterr().out == (
        f"run {run.pk} is paused; resume it with: {resume}\n"
    )
    assert runs("pause", run.pk, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"run": run.pk, "status": "paused"}
    run.refresh_from_db()
    assert run.status == "paused"

    assert delivered(run, QUEUE) == "held"
    resume_run(store, run)
    assert delivered(run, QUEUE) == "ok"
    Archiver(store).turn()
    run.refresh_from_db()
    assert (run.status, run.result) == ("done", {"n": 1})


def test_a_run_without_a_worker_is_shown_with_the_line_that_carries_it_on(
    store: RedisStore, capsys: Any
):
    run = launched(store, {"kind": "seq", "children": [STEP]})
    line = f"carry the run on with: python manage.py runs resume {run.pk}\n"
    call_command("runs", "show", run.pk)
    assert capsys.readouterr().out.endswith(line)
    with locked(steward_lock(), 1.0):
        call_command("runs", "show", run.pk)
    assert line not in capsys.readouterr().out
    cancelled = runs("cancel", run.pk)
    call_command("runs", "show", run.pk)
    page = capsys.readouterr().out
    assert (cancelled, line in page) == (0, False)
    assert "Cancelled: cancelled with `runs cancel`" in page


def test_a_pause_that_is_over_stays_out_of_the_row(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
):
    run = launched(store, {"kind": "seq", "children": [STEP]})
    inner = RedisStore.pause

    def resumed_at_once(self: RedisStore, run_id: str) -> str:
        answer = inner(self, run_id)
        store.resume(run_id)
        Archiver(store).turn()
        return answer

    monkeypatch.setattr(RedisStore, "pause", resumed_at_once)
    assert runs("pause", run.pk) == 0
    run.refresh_from_db()
    assert run.status == "running"


def test_a_paused_run_can_be_cancelled(store: RedisStore, capsys: Any):
    run = launched(store, {"kind": "seq", "children": [STEP]})
    assert runs("pause", run.pk) == 0
    run.refresh_from_db()
    assert runs("cancel", run.pk) == 0
    assert capsys.readouterr().out.endswith(f"run {run.pk} is cancelled\n")


def test_what_can_not_be_paused_is_reported(store: RedisStore, capsys: Any):
    run = launched(store, {"kind": "seq", "children": []})
    assert delivered(run, ENGINE_QUEUE) == "ok"
    Archiver(store).turn()
    assert runs("pause", run.pk) == 1
    assert capsys.readouterr().out == f"run {run.pk} is done; nothing was paused\n"

    lost = launched(store, {"kind": "seq", "children": [STEP]})
    store.wire.call("FLUSHALL")
    with pytest.raises(CommandError, match="Redis has lost the state") as refused:
        call_command("runs", "pause", lost.pk)
    assert refused.value.returncode == 2


def test_redis_forgets_a_run_whose_result_was_too_large(
    store: RedisStore, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settings, "SWARM_INPUT_LIMIT", 100)
    run = launched(store, {"kind": "seq", "children": []}, {"text": "x" * 2_000})
    assert delivered(run, ENGINE_QUEUE) == "ok"
    Run.objects.filter(pk=run.pk).update(status="done")
    assert runs("forget", run.pk) == 1
    assert "is not archived to its end yet" in capsys.readouterr().out
    assert store.head(run.pk) is not None

    Run.objects.filter(pk=run.pk).update(status="running")
    Archiver(store).turn()
    run.refresh_from_db()
    assert (run.status, run.error["kind"]) == ("done", "ResultTooLarge")
    reporter = Reporter(sys.stdout, sys.stderr, as_json=False)
    assert reporter.ended(run, "0 steps") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    told = " ".join(printed.err.split())
    assert "Let the fanout `select` the part you need, or `delete` large values" in told
    keys = store.wire.call("KEYS", f"*{run.pk}*")
    assert store.head(run.pk) is not None
    assert runs("forget", run.pk) == 0
    assert capsys.readouterr().out == (
        f"run {run.pk} is removed from Redis; its history stays in the database\n"
    )
    assert store.head(run.pk) is None
    # What stays is its pointer and the mark that it was here, for a while.
    assert len(store.wire.call("KEYS", f"*{run.pk}*")) == 2 < len(keys)
    assert runs("forget", run.pk) == 0


def test_a_run_that_continues_is_not_forgotten(store: RedisStore, capsys: Any):
    run = launched(store, {"kind": "seq", "children": [STEP]})
    assert runs("forget", run.pk) == 1
    assert "is running; only an ended run" in capsys.readouterr().out
    assert store.head(run.pk) is not None
