"""The archiver: what is in the database after the journal was copied, also when it dies."""

import logging
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from django.db import connection
from flow_documents import seq
from rig import Echo, Rig, program, step

from blueprints.models import Attempt, Run, RunEvent, Step
from blueprints.models.events import events_of
from blueprints.selectors.outputs import run_outputs
from blueprints.selectors.runs import run_report
from blueprints.services.runs import Launch
from engine.blueprint.program import Retry
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.entries import read_entry, took_ms
from engine.run.journal.outputs import Log, to_wire
from engine.run.journal.projection import RunFacts, RunProjection, StepFacts
from engine.store import redis_reads
from engine.store.redis import STATE
from workers.archive import archiver as archive_module
from workers.archive.archiver import Archiver
from workers.archive.rows import Result, RowChanges
from workers.runs.launch import launch

pytestmark = pytest.mark.django_db

LANES = 5
WIDE: Any = {
    "kind": "fanout",
    "items": {"op": "lit", "value": list(range(LANES))},
    "bind": {"op": "path", "at": "$.n"},
    "body": step(),
    "join": "all",
    "out": {"op": "path", "at": "$.out"},
}
FLOW = seq(step(), WIDE, step())


class Killed(BaseException):
    """Ends an archiver where a kill would."""


class DiesAfterTheCommit(Archiver):
    """Dies between the commit in the database and all it writes to Redis afterwards."""

    def _retire(self, changes: RowChanges, results: dict[str, Result]) -> None:
        raise Killed


def rows() -> list[Any]:
    """Return all that the archive wrote, in order."""
    tables = (
        Run.objects.order_by("pk").values(),
        Step.objects.order_by("pk").values(),
        Attempt.objects.order_by("pk").values(),
        RunEvent.objects.order_by("pk").values(),
    )
    return [list(table) for table in tables]


def test_each_step_has_one_row_one_attempt_and_one_committed_event(rig: Rig) -> None:
    run = rig.launch(FLOW)
    rig.work_off(steps=1)
    Archiver(rig.store).turn()

    places = {
        "/children/0",
        "/children/2",
        *(f"/children/1/lane[{lane}]" for lane in range(LANES)),
    }
    found = Step.objects.filter(run=run)
    assert {row.place for row in found} == places
    assert {(row.agent, row.kind, row.status, row.attempts) for row in found} == {
        ("echo", "python_fn", "passed", 1)
    }
    tries = Attempt.objects.filter(step__run=run)
    assert Counter(attempt.step.place for attempt in tries) == Counter(places)
    assert {(a.number, a.status, bool(a.finished_at)) for a in tries} == {
        (1, "passed", True)
    }
    entries = RunEvent.objects.filter(run=run)
    passed = [
        event[1]
        for entry in entries
        for event in events_of(entry.data)
        if event[0] == "passed"
    ]
    assert Counter(passed) == Counter(places)
    numbers = [entry.number for entry in entries]
    assert numbers == list(range(1, len(numbers) + 1))
    run.refresh_from_db()
    assert run.status == "done"
    assert run.archived_number == numbers[-1]
    assert run.result == {"n": 1, "out": [{"n": n} for n in range(LANES)]}


def test_a_page_that_is_archived_again_changes_nothing(rig: Rig) -> None:
    rig.launch(FLOW)
    rig.launch(FLOW)
    rig.work_off(most=3, steps=1)
    assert Archiver(rig.store).turn() > 3
    once = rows()

    rig.store.wire.call("DEL", f"{STATE}archived")
    assert Archiver(rig.store).turn() > 3

    assert rows() == once


def test_an_archiver_killed_after_its_commit_is_made_good_by_the_next(rig: Rig) -> None:
    run = rig.launch(FLOW)
    rig.work_off()
    with pytest.raises(Killed):
        DiesAfterTheCommit(rig.store).turn()
    once = rows()
    run.refresh_from_db()
    assert run.status == "done"
    assert rig.store.archived() == "0"
    assert rig.store.head(run.pk) is not None

    Archiver(rig.store).turn()

    assert rows() == once
    assert rig.store.head(run.pk) is None


def test_an_entry_that_cannot_be_written_stops_no_other(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rig.launch(FLOW), rig.launch(FLOW)
    bad = ("r", first.pk, "g", 1, "n", 2, "e", b'{"no": "events"}')
    rig.store.wire.call("XADD", f"{STATE}j", "*", *bad)
    rig.work_off()

    with caplog.at_level(logging.ERROR, "workers.archive.archiver"):
        Archiver(rig.store).turn()

    [line] = [r.message for r in caplog.records if r.name == "workers.archive.archiver"]
    assert line.startswith("journal entry ")
    assert line.endswith(" is set aside: not an object with a list of events")
    for run in (first, second):
        run.refresh_from_db()
        assert run.status == "done"


def test_a_run_under_way_keeps_its_keys(rig: Rig) -> None:
    run = rig.launch(FLOW)
    rig.work_off(most=1, steps=1)
    archiver = Archiver(rig.store)
    archiver.turn()
    run.refresh_from_db()
    assert run.status == "running"
    assert rig.store.head(run.pk) is not None

    rig.work_off()
    archiver.turn()
    run.refresh_from_db()
    assert run.status == "done"
    assert rig.store.head(run.pk) is None


def test_a_run_keeps_its_keys_while_an_entry_of_it_is_not_archived(rig: Rig) -> None:
    run = rig.launch(FLOW)
    rig.work_off()
    kept: list[bool] = []

    class MeetsALateEntry(Archiver):
        """An entry comes between the page that has the end and the keys' removal."""

        def _retire(self, changes: RowChanges, results: dict[str, Result]) -> None:
            if not kept:
                number = rig.store.wire.call("HINCRBY", f"{STATE}r:{run.pk}:1", "n", 1)
                late = (
                    "r",
                    run.pk,
                    "g",
                    1,
                    "n",
                    number,
                    "e",
                    b'{"e":[["run_resumed"]]}',
                )
                rig.store.wire.call("XADD", f"{STATE}j", "*", *late)
            super()._retire(changes, results)
            kept.append(rig.store.head(run.pk) is not None)

    MeetsALateEntry(rig.store).turn()

    assert kept[0]
    assert RunEvent.objects.filter(run=run, kind="run_resumed").exists()


def test_a_run_cancelled_in_its_row_keeps_its_keys_until_the_journal_has_its_end(
    rig: Rig,
) -> None:
    run = rig.launch(FLOW)
    Run.objects.filter(pk=run.pk).update(status="cancelled")
    archiver = Archiver(rig.store)
    archiver.turn()
    assert rig.store.head(run.pk) is not None

    rig.store.finish(run.pk, 1, "cancelled", "no longer wanted")
    archiver.turn()
    assert rig.store.head(run.pk) is None


def test_a_run_ends_in_its_row_although_a_crash_took_redis_back(rig: Rig) -> None:
    run = rig.launch(FLOW)
    rig.work_off(most=1, steps=1)
    archiver = Archiver(rig.store)
    archiver.turn()
    # The archive is ahead: it has entries of steps that Redis makes again.
    Run.objects.filter(pk=run.pk).update(archived_number=1000)

    rig.work_off()
    archiver.turn()

    run.refresh_from_db()
    assert run.status == "done"
    assert run.result is not None
    assert rig.store.head(run.pk) is None


class Costly:
    """Fails twice, and reports its cost each time."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        cost = {"usage": {"input": 10 * call.attempt}}
        if call.attempt < 3:
            return Outcome("failed", text="no", stats=cost)
        return Outcome("passed", call.input, stats=cost)


@pytest.mark.parametrize("tries", [3, 2])
def test_what_failed_attempts_cost_is_kept_and_counted(rig: Rig, tries: int) -> None:
    rig.spawner = Costly()
    made = program(seq(step()))
    made.agents["echo"] = replace(
        made.agents["echo"], retry=Retry(max_attempts=tries, base_ms=0)
    )
    run = launch(rig.store, Launch(made, {"n": 1}))
    rig.work_off()
    Archiver(rig.store).turn()
    attempts = Attempt.objects.order_by("number").values_list("number", "stats")
    assert list(attempts) == [
        (n, {"usage": {"input": 10 * n}}) for n in range(1, tries + 1)
    ]
    run.refresh_from_db()
    assert run.status == ("done" if tries == 3 else "failed")
    assert run_report(run)["usage"] == {
        "input": sum(10 * n for n in range(1, tries + 1))
    }


def test_what_was_used_before_a_cancel_is_counted_however_late_it_is_archived(
    rig: Rig,
) -> None:
    rig.spawner = Costly()
    made = program(seq(step(), step()))
    run = launch(rig.store, Launch(made, {"n": 1}))
    rig.work_off(most=1, steps=1)
    rig.store.finish(run.pk, 1, "cancelled", "no longer wanted")
    Run.objects.filter(pk=run.pk).update(status="cancelled")
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run_report(run)["usage"] == {"input": 10}


def test_output_is_found_by_its_mark(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    wire = {
        "e": [
            ["output", "/children/0", 1, 1, [to_wire(Log("hi"))]],
            ["checkpoint", "/"],
        ]
    }
    number = rig.store.wire.call("HINCRBY", f"{STATE}r:{run.pk}:1", "n", 1)
    entry = ("r", run.pk, "g", 1, "n", number, "e", orjson.dumps(wire))
    rig.store.wire.call("XADD", f"{STATE}j", "*", *entry)
    Archiver(rig.store).turn()
    assert [output.wire["text"] for output in run_outputs(run)] == ["hi"]
    assert RunEvent.objects.filter(says=True).count() == 1
    [found] = RunEvent.objects.filter(kinds__contains=" checkpoint ")
    assert (found.kind, found.kinds) == ("checkpoint", " output checkpoint ")


class Watched(Archiver):
    """Records whether Redis is read while a transaction is open."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.store)
        self.inside: list[bool] = []
        self.parts: list[int] = []
        pipeline = rig.store.wire.pipeline

        def noted(commands: Any) -> Any:
            self.inside.append(connection.in_atomic_block)
            return pipeline(commands)

        rig.store.wire.pipeline = noted  # type: ignore[method-assign]

    def _write_part(self, part: Any, results: Any) -> None:
        self.parts.append(sum(len(one.text or b"") for one in results.values()))
        super()._write_part(part, results)


@pytest.mark.django_db(transaction=True)
def test_redis_is_never_read_within_a_transaction(rig: Rig) -> None:
    for _ in range(3):
        rig.launch(FLOW)
    rig.work_off(most=5, steps=1)
    archiver = Watched(rig)
    archiver.turn()
    rig.work_off()
    archiver.turn()
    assert set(Run.objects.values_list("status", flat=True)) == {"done"}
    assert len(archiver.inside) > 5
    assert not any(archiver.inside)


def test_large_results_are_archived_a_few_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, runs = 1 << 18, 40
    monkeypatch.setattr(archive_module, "PAGE_BYTES", 2 * size)
    monkeypatch.setattr(redis_reads, "READ_BYTES", 2 * size)
    for number in range(runs):
        rig.launch(
            seq(step("$.i")), {"text": chr(65 + number % 26) * size, "i": number}
        )
    # Each passes a large value too: the journal has it.
    large = rig.launch(seq(*[step()] * runs), {"n": "x" * size})
    rig.work_off()
    archiver = Watched(rig)
    tracemalloc.start()
    try:
        while archiver.turn():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    done = Run.objects.filter(status="done")
    assert done.count() == runs + 1
    assert {len(run.result["text"]) for run in done.exclude(pk=large.pk)} == {size}
    assert max(archiver.parts) <= 3 * size + 1_000
    # A few pages at a time, as text, parsed, and on their way; orjson reserves sixteen
    # times a text while it writes it, so that all 40 at once are 640.
    assert peak < 120 * size


def test_a_ctx_made_of_too_much_stays_in_redis(rig: Rig, settings: Any) -> None:
    settings.SWARM_INPUT_LIMIT = 20_000
    wide = {**WIDE, "items": {"op": "lit", "value": ["x" * 1_000] * 150}}
    run = rig.launch(seq(wide, {**WIDE, "items": {"op": "lit", "value": [1]}}))
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert (run.status, run.error["kind"]) == ("done", "ResultTooLarge")
    assert rig.store.head(run.pk) is not None


class Slow(Echo):
    """Answers after a while."""

    def run(self, call: StepCall) -> Outcome:
        time.sleep(0.02)
        return super().run(call)


def test_a_lane_of_a_batch_took_the_time_that_it_reports(rig: Rig) -> None:
    rig.spawner = Slow()
    # As many as make batches of several.
    items = {"op": "lit", "value": list(range(24))}
    run = rig.launch({**WIDE, "items": items})
    rig.work_off()
    Archiver(rig.store).turn()
    packed = [
        event for entry in RunEvent.objects.all() for event in events_of(entry.data)
    ]
    began = {event[1] for event in packed if event[0] == "started"}
    took = {
        event[1]: took_ms(event)
        for event in packed
        if event[0] == "passed" and event[1] not in began
    }
    assert took
    assert min(took.values()) >= 20
    for tried in Attempt.objects.filter(step__run=run, step__place__in=took):
        seconds = (tried.finished_at - tried.started_at).total_seconds()
        assert seconds == took[tried.step.place] / 1000


class Moody:
    """Fails the first attempt of some steps, and emits an event at every second one."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        number = sum(call.place.encode())
        if number % 2:
            call.emit(Log("hm"))
        if call.attempt == 1 and number % 3 == 0:
            return Outcome("failed", text="no", stats={"usage": {"input": 1}})
        return Outcome("passed", call.input)


@pytest.mark.parametrize("batch", [2, 500])
@pytest.mark.parametrize("join", ["all", "race"])
def test_the_archive_has_what_the_projection_of_the_whole_journal_has(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, batch: int, join: str
) -> None:
    monkeypatch.setattr(archive_module, "BATCH", batch)
    rig.spawner = Moody()
    wide = {**WIDE, "items": {"op": "lit", "value": list(range(40))}, "join": join}
    made = program(seq(step(), wide, step(), step()))
    retry = Retry(max_attempts=2, base_ms=0)
    made.agents["echo"] = replace(made.agents["echo"], retry=retry)
    run = launch(rig.store, Launch(made, {"n": 1}))
    whole = RunProjection(RunFacts(run.pk, 1, "pending"), made)
    archiver, after = Archiver(rig.store), "0"
    for most in (2, 5, 1_000_000):
        rig.work_off(most=most, steps=2)
        for entry in rig.store.journal(after, 10_000):
            whole.apply(entry.at_ms, read_entry(entry))
            after = entry.id
        # A turn ends after half a second, on a busy machine before the end of the journal.
        while archiver.turn():
            pass
    run.refresh_from_db()
    assert run.status == whole.run.status == "done"
    assert run.finished_at == whole.run.finished_at
    names = [
        "place",
        "agent",
        "kind",
        "status",
        "attempts",
        "started_at",
        "finished_at",
    ]
    found = [StepFacts(*row) for row in Step.objects.values_list(*names)]
    assert {step.place: step for step in found} == whole.steps
    tries = Attempt.objects.values_list(
        "step__place", "number", "status", "started_at", "finished_at", "error", "stats"
    )
    assert sorted(tries) == sorted(
        (a.place, a.number, a.status, a.started_at, a.finished_at, a.error, a.stats)
        for a in whole.attempts.values()
    )


def test_an_end_closes_what_is_in_the_database_alone_and_old_numbers_are_passed_over(
    rig: Rig,
) -> None:
    run = rig.launch(seq(step()))
    archiver = Archiver(rig.store)
    number = rig.store.wire.call("HINCRBY", f"{STATE}r:{run.pk}:1", "n", 1)
    for place in ("/x", "/y"):
        # The second has the number of the first: it is archived already.
        begun = orjson.dumps({"e": [["pending", place, "echo"], ["started", place, 1]]})
        entry = ("r", run.pk, "g", 1, "n", number, "e", begun)
        rig.store.wire.call("XADD", f"{STATE}j", "*", *entry)
        archiver.turn()
    found = Step.objects.filter(run=run, status="running")
    assert [row.place for row in found] == ["/x"]

    rig.store.finish(run.pk, 1, "cancelled", "no longer wanted")
    archiver.turn()

    run.refresh_from_db()
    tried = Attempt.objects.get(step__run=run, step__place="/x")
    assert (tried.status, tried.step.status) == ("cancelled", "cancelled")
    assert tried.finished_at == tried.step.finished_at == run.finished_at
