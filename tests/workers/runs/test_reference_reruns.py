"""The reference's acceptance list for a rerun from a step: RF1 to RF9, DR3 and DR4.

A refusal is exit code 2 here, where the reference has an HTTP status.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from flow_documents import at, seq, step
from kept_blueprints import ADA
from rig import QUEUE, deliver_all

from blueprints.models import Program as ProgramRow
from blueprints.models import Run, RunEvent, RunGeneration, RunSnapshot, Step
from blueprints.models.events import events_of
from blueprints.preflight import compile_here
from blueprints.services.blueprints import blueprint_register
from blueprints.services.runs import Launch
from engine.agents import agent_function
from engine.blueprint_store import Content
from engine.ports import Watch
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs.again import Place, StartsLater, rerun
from workers.runs.control import forget_run
from workers.runs.launch import launch
from workers.steward.database_duties import Bookkeeper
from workers.wiring import make_engine

pytestmark = pytest.mark.django_db(transaction=True)

CALLS: list[str] = []
LARGE = 200_000


@agent_function("reference-note")
def note(number: Any, *, step: Any) -> Any:
    CALLS.append(step.place)
    return number + 1


def document(*names: str, **more: Any) -> dict[str, Any]:
    """Return a Blueprint of steps one after the other."""
    steps = [{**step("note", at("$.n"), "$.n"), "name": name} for name in names]
    agent = {"name": "note", "kind": "python_fn", "spec": {"fn_id": "reference-note"}}
    flow = seq(*({"agent": one.pop("ref"), **one} for one in steps))
    return {"id": "list", "dialect": "swarm", "flow": flow, "agents": [agent], **more}


def worked_off(store: RedisStore) -> None:
    """Work off all that is dispatched, and archive it."""
    engine = make_engine(frozenset({QUEUE, "swarm.engine"}), Watch())
    try:
        deliver_all(store, engine)
    finally:
        engine.store.wire.close()
    while Archiver(store).turn():
        pass


@pytest.fixture(autouse=True)
def kept(settings: Any, tmp_path: Path) -> None:
    """An empty store of Blueprints, and no call of an agent."""
    settings.SWARM_BLUEPRINTS = str(tmp_path / "kept.git")
    CALLS.clear()


@pytest.fixture
def run(store: RedisStore) -> Run:
    """A run of two steps of a kept Blueprint that has ended."""
    return ended(store, {"n": 1})


def ended(store: RedisStore, ctx: Any) -> Run:
    """Register the Blueprint of two steps, and run it to its end."""
    found = blueprint_register(
        "list", Content(document("one", "two")), actor=ADA, message="First"
    )
    program = compile_here(document("one", "two"))
    made = launch(store, Launch(program, ctx, version=found.version))
    worked_off(store)
    made.refresh_from_db()
    assert (made.status, made.result["n"]) == ("done", 3)
    return made


def printed(capsys: Any, *args: str) -> Any:
    """Return what a command prints with --json."""
    call_command("runs", *args, "--json")
    return json.loads(capsys.readouterr().out)


def refused(run: Run, *args: str) -> str:
    """Return why a command is refused, which has changed nothing of a run."""
    before = everything(run)
    with pytest.raises(CommandError) as error:
        call_command("runs", *args)
    assert error.value.returncode == 2
    assert everything(run) == before
    return str(error.value)


def everything(run: Run) -> Any:
    """Return all that the database has of a run, and how many runs there are."""
    rows = Run.objects.filter(pk=run.pk).values().get()
    events = RunEvent.objects.filter(run=run).order_by("generation", "number")
    steps = Step.objects.filter(run=run).order_by("pk").values()
    return rows, list(events.values_list("number", "hash")), list(steps), counts()


def counts() -> tuple[int, ...]:
    """Return how many rows there are of what a rerun makes."""
    return tuple(one.objects.count() for one in (Run, RunGeneration, RunSnapshot))


def leave_room(store: RedisStore, size: int) -> None:
    """Let Redis be full as soon as it has so many bytes more."""
    store.wire.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    [line] = [
        line
        for line in store.wire.call("INFO", "memory").decode().splitlines()
        if line.startswith("used_memory:")
    ]
    store.wire.call("CONFIG", "SET", "maxmemory", int(line.partition(":")[2]) + size)


def passed(run: Run, generation: int) -> list[str]:
    """Return the places of the steps that a generation's journal has passed, in order."""
    events = RunEvent.objects.filter(run=run, generation=generation)
    rows = events.order_by("number").values_list("data", flat=True)
    return [
        event[1] for data in rows for event in events_of(data) if event[0] == "passed"
    ]


def test_rf1_an_unknown_run_is_refused(run: Run) -> None:
    text = refused(run, "rerun", "R-" + "0" * 32, "--from", "two")
    assert "no run begins with R-0000" in text


def test_rf2_a_running_run_is_refused(store: RedisStore, run: Run) -> None:
    going = launch(store, Launch(compile_here(document("one", "two")), {"n": 1}))
    text = refused(going, "rerun", going.pk)
    assert "is running; only an ended run can begin again" in text
    text = refused(going, "rerun", going.pk, "--failed")
    assert "is running; only an ended run can begin again" in text


def test_rf3_a_done_run_whose_program_is_gone_is_refused_and_stays_done(
    run: Run,
) -> None:
    """A run's program is what the reference has as a launch snapshot."""
    ProgramRow.objects.filter(pk=run.program_id).update(document={"format": 999})
    for args in (("--from", "two"), ("--failed",), ()):
        assert "nothing was changed: the program of run" in refused(
            run, "rerun", run.pk, *args
        )
    assert "the program of run" in refused(run, "fork", run.pk, "--from", "two")
    run.refresh_from_db()
    assert run.status == "done"


def test_rf4_an_unknown_step_changes_nothing(run: Run) -> None:
    text = refused(run, "rerun", run.pk, "--from", "tow")
    assert "has no step 'tow' that has begun; did you mean 'two'?" in text


def test_rf5_a_blank_step_name_is_refused(run: Run) -> None:
    for name in ("", "  "):
        text = refused(run, "rerun", run.pk, "--from", name)
        assert "no step is named: expected a step's name" in text
        assert "no step is named" in refused(run, "fork", run.pk, "--from", name)


def test_rf6_a_rerun_keeps_one_step_and_drops_one(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    CALLS.clear()
    got = printed(capsys, "rerun", run.pk, "--from", "two")
    assert (got["run"], got["kept"], got["dropped"]) == (run.pk, 1, 1)
    worked_off(store)
    assert CALLS == ["/children/1"]
    shown = printed(capsys, "show", run.pk)
    assert (shown["status"], shown["ctx"]) == ("done", {"n": 3})


def test_rf7_after_it_the_history_has_the_kept_step_a_fresh_one_and_the_old_one(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    """A departure: the reference deletes the old row. Here generation 1 stays as it was."""
    before = everything(run)[1]
    printed(capsys, "rerun", run.pk, "--from", "two")
    worked_off(store)
    shown = printed(capsys, "show", run.pk)["steps"]
    assert [one["name"] for one in shown] == ["one", "two"]
    assert passed(run, 2) == ["/children/1"]
    # The old row is there, and the hashes of its journal are right.
    assert passed(run, 1) == ["/children/0", "/children/1"]
    assert everything(run)[1][: len(before)] == before
    first = printed(capsys, "show", run.pk, "--generation", "1")
    assert (first["status"], first["ctx"]) == ("done", {"n": 3})
    with pytest.raises(SystemExit) as verified:
        call_command("journal", "verify", run.pk)
    assert verified.value.code == 0


def test_rf8_a_version_that_does_not_compile_is_refused_and_says_so(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    """A departure: a rerun has the program of its launch, whatever the head is by now."""
    broken = document("one", "two")
    broken["flow"]["children"][1]["agent"] = "nobody"
    blueprint_register("list", Content(broken), actor=ADA, message="x", force=True)
    text = refused(run, "fork", run.pk, "--from", "two", "--blueprint", "list@latest")
    assert "nothing was changed" in text
    assert "nobody" in text
    assert printed(capsys, "rerun", run.pk, "--from", "two")["generation"] == 2


def test_rf9_what_an_earlier_rerun_has_left_out_can_be_run_again(
    store: RedisStore, run: Run, capsys: Any
) -> None:
    """A departure: the reference's log is consumed by a rerun, and the next one refused."""
    for generation in (2, 3, 4):
        got = printed(capsys, "rerun", run.pk, "--from", "one")
        assert (got["generation"], got["kept"], got["dropped"]) == (generation, 0, 2)
        worked_off(store)
    got = printed(capsys, "rerun", run.pk, "--from", "two")
    assert (got["kept"], got["dropped"]) == (1, 1)
    worked_off(store)
    assert printed(capsys, "show", run.pk)["ctx"] == {"n": 3}


def test_dr3_a_rerun_that_the_database_refuses_leaves_the_run_done(
    store: RedisStore, run: Run
) -> None:
    """Nothing is truncated here; the row of the snapshot is what can't be written."""
    RunSnapshot.objects.create(run=run, generation=2, data=b"{}")
    assert "The database failed" in refused(run, "rerun", run.pk, "--from", "two")
    with pytest.raises(IntegrityError):
        rerun(store, run, Place("/children/1"))
    RunSnapshot.objects.all().delete()
    run.refresh_from_db()
    assert (run.status, run.generation) == ("done", 1)
    assert rerun(store, run, Place("/children/1")).status == "running"


def test_dr4_a_rerun_that_finds_redis_full_halfway_starts_when_there_is_room(
    store: RedisStore, capsys: Any, settings: Any
) -> None:
    """A departure: the reference goes back to done, and its log has been cut already.

    Here the generation is open and pending, the one before is done, and the steward
    starts it.
    """
    # The large text is to be in Redis.
    settings.SWARM_INLINE_LIMIT = 2 * LARGE
    run = ended(store, {"n": 1, "text": "x" * LARGE})
    assert forget_run(store, run)
    leave_room(store, LARGE)
    got = printed(capsys, "rerun", run.pk, "--from", "two")
    assert (got["generation"], got["status"], got["kept"]) == (2, "pending", 1)
    assert RunGeneration.objects.get(run=run).status == "done"
    run.refresh_from_db()
    with pytest.raises(CommandError, match="is pending; only an ended run"):
        call_command("runs", "rerun", run.pk)

    store.wire.call("CONFIG", "SET", "maxmemory", "0")
    long_ago = run.created_at.replace(year=2020)
    Run.objects.filter(pk=run.pk).update(created_at=long_ago, opened_at=long_ago)
    Bookkeeper(store, lambda: True).start_launched()
    worked_off(store)
    run.refresh_from_db()
    assert (run.generation, run.status, run.result["n"]) == (2, "done", 3)


def test_dr4_a_fork_that_finds_redis_full_halfway_is_named(
    store: RedisStore, capsys: Any, settings: Any
) -> None:
    # The large text is to be in Redis.
    settings.SWARM_INLINE_LIMIT = 2 * LARGE
    run = ended(store, {"n": 1, "text": "x" * LARGE})
    assert forget_run(store, run)
    leave_room(store, LARGE)
    call_command("runs", "fork", run.pk, "--from", "two")
    text = capsys.readouterr().out
    assert "is pending (forked from" in text
    assert "it starts when there is room: Redis is full" in text
    with pytest.raises(StartsLater):
        rerun(store, run, Place("/children/1"))
