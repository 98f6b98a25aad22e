"""The steward's bookkeeper: the runs that it starts or calls lost, and when it does nothing."""

import contextlib
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from flow_documents import seq
from redis.exceptions import ConnectionError as RedisConnectionError
from rig import Rig, program, step
from waiting import eventually

from blueprints import models
from blueprints.conf import output_store
from blueprints.models import Run, RunEvent, Task
from blueprints.services.outputs import check_outputs
from blueprints.services.runs import Launch, run_create
from blueprints.stores.outputs.files import FileOutputs
from engine.ids import new_id
from engine.output_store import OutputsAway, name_of
from engine.store import redis_reads
from engine.store.redis import STATE
from engine.store.wire import Unreconciled
from workers.runs.reconciling import reconcile
from workers.steward import database_duties as books
from workers.steward.database_duties import MOST_REFUSALS, PAGE, STARTS, Bookkeeper
from workers.steward.process import Steward
from workers.wiring import make_store

LONG_AGO = timedelta(minutes=1)


def bookkeeper_of(rig: Rig) -> Bookkeeper:
    """Return a bookkeeper that is not running as a thread."""
    return Bookkeeper(rig.store, lambda: True)


def left_pending(rig: Rig, *, epoch_id: str = "") -> Run:
    """Make the row of a run whose launcher died before it wrote the run's keys."""
    run = run_create(
        Launch(program=program(seq(step())), ctx={"n": 1}),
        epoch=epoch_id or reconcile(rig.store).epoch,
    )
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - LONG_AGO)
    return run


def begun_long_ago(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now() - LONG_AGO)


def as_it_is(run: Run) -> tuple[str, str]:
    """Return a run's status and the kind of its error."""
    run.refresh_from_db()
    return run.status, (run.error or {}).get("kind", "")


def lost_runs() -> set[str]:
    """Return the ids of the runs that are marked as lost."""
    lost = Run.objects.exclude(lost_status="")
    return set(lost.values_list("pk", flat=True))


@pytest.mark.django_db(transaction=True)
def test_no_duty_works_on_a_server_that_is_not_compared(rig: Rig) -> None:
    run, late = rig.launch(seq(step())), left_pending(rig)
    begun_long_ago(run)
    wary = make_store(wary=True)
    bookkeeper = Bookkeeper(wary, lambda: True, rig.store)
    bookkeeper._reconcile()
    bookkeeper.archiver.turn()
    # Another server, which is empty and holds the journal of another database.
    rig.store.wire.call("FLUSHALL")
    rig.store.wire.call(
        "XADD", f"{STATE}j", "*", "r", run.pk, "g", 1, "n", 2, "e", "{}"
    )
    models.Installation.objects.update(server="another")
    wary.wire.close()

    # It was compared a moment ago.
    bookkeeper._reconcile()
    for duty in (bookkeeper.find_lost, bookkeeper.start_launched, bookkeeper.prune):
        with contextlib.suppress(Unreconciled):
            duty()
    with pytest.raises(Unreconciled):
        bookkeeper.archiver.turn()
    assert lost_runs() == set()
    assert as_it_is(late)[0] == "pending"
    assert rig.store.head(late.pk) is None

    bookkeeper._reconciled_at = float("-inf")
    bookkeeper._reconcile()
    bookkeeper.find_lost()
    assert as_it_is(run) == ("interrupted", "RedisLost")
    assert as_it_is(late) == ("interrupted", "RedisLost")
    wary.wire.close()


@pytest.mark.django_db(transaction=True)
def test_a_steward_that_lost_the_lock_archives_nothing_until_it_is_elected_again(
    rig: Rig,
) -> None:
    store = rig.store
    steward, other = Steward(store), Steward(make_store())
    assert steward.turn()
    assert steward.leads()

    steward.leave()
    assert other.turn()
    assert not steward.turn()
    assert not steward.leads()
    bookkeeper = Bookkeeper(make_store(), steward.leads)
    bookkeeper.start()
    try:
        run = rig.launch(seq())
        time.sleep(1.0)
        assert store.wire.call("GET", f"{STATE}archived") is None
        assert not RunEvent.objects.filter(run=run).exists()

        other.leave()
        archived = RunEvent.objects.filter(run=run)
        assert eventually(lambda: steward.turn() and archived.exists())
    finally:
        bookkeeper.end(10)
    assert not bookkeeper.is_alive()


@pytest.mark.django_db
def test_a_run_whose_launcher_died_before_its_keys_is_started(rig: Rig) -> None:
    run = left_pending(rig)
    fresh = run_create(
        Launch(program=program(seq()), ctx={}), epoch=reconcile(rig.store).epoch
    )

    bookkeeper_of(rig).start_launched()

    head = rig.store.head(run.pk)
    assert head is not None
    assert head.status == "running"
    assert as_it_is(run) == ("running", "")
    # Its launcher may be just about to start it.
    assert rig.store.head(fresh.pk) is None
    assert as_it_is(fresh) == ("pending", "")
    rig.work_off()
    assert rig.store.head(run.pk).status == "done"  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_run_launched_into_another_redis_is_interrupted_and_not_started(
    rig: Rig,
) -> None:
    run = left_pending(rig, epoch_id="another")

    bookkeeper_of(rig).start_launched()

    assert as_it_is(run) == ("interrupted", "RedisLost")
    assert rig.store.head(run.pk) is None
    assert rig.store.journal("0", 10) == []


@pytest.mark.django_db
def test_runs_that_cannot_be_started_fail_and_keep_no_other_waiting(rig: Rig) -> None:
    bad = [left_pending(rig) for _ in range(STARTS)]
    broken = program(seq()).to_json() | {"flow": {"kind": "leap"}}
    Run.objects.update(program=models.Program.objects.create(id="b", document=broken))
    good = left_pending(rig)
    bookkeeper = bookkeeper_of(rig)

    for _ in range(2):
        bookkeeper.start_launched()

    assert as_it_is(good) == ("running", "")
    for run in bad:
        assert as_it_is(run) == ("failed", "NotStarted")
        assert run.finished_at is not None
    text = str(bad[0].error["text"])
    assert text.startswith("the run can't be started: ")
    assert "leap" in text
    # Nor does anyone start it later.
    head = rig.store.head(bad[0].pk)
    assert head is not None
    assert head.status == "failed"


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OSError("no such device"), ValueError("bad")])
def test_a_run_whose_start_raises_fails_and_keeps_no_other_waiting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bad, good = left_pending(rig), left_pending(rig)
    inner = books.start_run

    def start_run(store: Any, run: Run) -> str:
        if run.pk == bad.pk:
            raise error
        return inner(store, run)

    monkeypatch.setattr(books, "start_run", start_run)
    bookkeeper_of(rig).start_launched()

    assert as_it_is(bad) == ("failed", "NotStarted")
    assert as_it_is(good) == ("running", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [ConnectionResetError("x"), RedisConnectionError("x"), OperationalError()]
)
def test_a_connection_that_breaks_fails_no_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run = left_pending(rig)

    def start_run(store: Any, run: Run) -> str:
        raise error

    monkeypatch.setattr(books, "start_run", start_run)
    with contextlib.suppress(type(error)):
        bookkeeper_of(rig).start_launched()
    assert as_it_is(run) == ("pending", "")


@pytest.mark.django_db
def test_a_full_redis_fails_no_run(rig: Rig) -> None:
    run = left_pending(rig)
    bookkeeper = bookkeeper_of(rig)
    rig.store.wire.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Exception, match="maxmemory"):
        bookkeeper.start_launched()
    assert as_it_is(run) == ("pending", "")
    rig.store.wire.call("CONFIG", "SET", "maxmemory", "0")
    bookkeeper.start_launched()
    assert as_it_is(run) == ("running", "")


@pytest.mark.django_db
def test_what_a_flushed_redis_has_lost_is_marked_and_a_pending_run_starts(
    rig: Rig,
) -> None:
    lost, paused = rig.launch(seq(step())), rig.launch(seq(step()))
    bookkeeper = bookkeeper_of(rig)
    bookkeeper.archiver.turn()
    Run.objects.filter(pk=paused.pk).update(status="paused")
    pending = left_pending(rig)

    rig.store.wire.call("FLUSHALL")
    bookkeeper._reconcile()
    bookkeeper.start_launched()
    bookkeeper.archiver.turn()

    assert as_it_is(lost) == ("running", "")
    assert as_it_is(paused) == ("paused", "")
    assert (lost.lost_status, paused.lost_status) == ("running", "paused")
    assert rig.store.head(lost.pk) is None
    assert as_it_is(pending) == ("running", "")
    # So does what is launched from now on.
    new = rig.launch(seq(step()))
    rig.work_off()
    bookkeeper.archiver.turn()
    assert as_it_is(pending) == as_it_is(new) == ("done", "")


@pytest.mark.django_db
def test_a_run_without_its_keys_is_lost_once_its_journal_is_read(
    rig: Rig,
) -> None:
    gone, alive = rig.launch(seq(step())), rig.launch(seq(step()))
    for run in (gone, alive):
        begun_long_ago(run)
    bookkeeper = bookkeeper_of(rig)
    rig.store.wire.call("DEL", f"{STATE}r:{gone.pk}:1")

    # Its end may be what is not archived yet.
    bookkeeper.find_lost()
    assert lost_runs() == set()

    bookkeeper.archiver.turn()
    begun_long_ago(gone)
    bookkeeper.find_lost()
    assert lost_runs() == {gone.pk}


@pytest.mark.django_db
@pytest.mark.parametrize("hurried", [False, True])
def test_an_end_far_behind_in_the_journal_is_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    gone = rig.launch(seq(step()))
    begun_long_ago(gone)
    monkeypatch.setattr(redis_reads, "READ_ENTRIES", 2)
    made = bookkeeper_of(rig)
    made.archiver.turn()
    others = [rig.launch(seq(step())) for _ in range(4)]
    if not hurried:
        rig.store.finish(gone.pk, 1, "cancelled", "by a test")
    for run in others:
        rig.store.finish(run.pk, 1, "cancelled", "by a test")
    rig.store.wire.call("DEL", f"{STATE}r:{gone.pk}:1")
    if hurried:
        # No time to look at all of it, in which it might be.
        monkeypatch.setattr(redis_reads, "SEARCH_S", -1.0)

    made.find_lost()
    assert lost_runs() == set()

    made.archiver.turn()
    made.find_lost()
    assert lost_runs() == ({gone.pk} if hurried else set())
    assert as_it_is(gone)[0] == ("running" if hurried else "cancelled")


@pytest.mark.django_db
def test_a_slow_scan_of_open_runs_continues_where_it_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [rig.launch(seq(step())) for _ in range(3)]
    made = bookkeeper_of(rig)
    made.archiver.turn()
    for run in runs:
        begun_long_ago(run)
        rig.store.wire.call("DEL", f"{STATE}r:{run.pk}:1")
    monkeypatch.setattr(books, "TURN_S", -1.0)
    for done in (1, 2, 3):
        made.find_lost()
        assert len(lost_runs()) == done


@pytest.mark.django_db
def test_lost_runs_are_found_among_more_open_ones_than_one_page_has(rig: Rig) -> None:
    here, task = reconcile(rig.store).epoch, Task.objects.create(blueprint_id="b")
    row = models.Program.objects.create(id="p", document={})
    runs = [
        Run(
            id=new_id("R"), task=task, program=row, ctx={}, status="running", epoch=here,
            started_at=timezone.now() - LONG_AGO,
            created_at=timezone.now() - LONG_AGO + timedelta(milliseconds=number),
        )
        for number in range(PAGE + 2)
    ]  # fmt: skip
    Run.objects.bulk_create(runs)
    oldest, *alive, newest = runs
    rig.store.wire.pipeline(
        [("HSET", f"{STATE}r:{run.pk}:1", "status", "running", "n", 1)
         for run in alive]
    )  # fmt: skip
    bookkeeper = bookkeeper_of(rig)

    for _ in range(2):
        bookkeeper.find_lost()

    assert lost_runs() == {oldest.pk, newest.pk}


@pytest.mark.django_db
def test_a_run_that_waits_for_one_content_delays_no_other(
    rig: Rig, settings: Any, tmp_path: Path
) -> None:
    text = "x" * 100_000
    settings.VAR_DIR = tmp_path
    check_outputs()
    waits = left_pending(rig)
    Run.objects.filter(pk=waits.pk).update(ctx={"text": text})
    later = left_pending(rig)
    store, name = output_store(), name_of(json.dumps(text).encode())
    assert isinstance(store, FileOutputs)
    lock = store.root / name[:2] / "lock"
    lock.unlink(missing_ok=True)
    lock.mkdir(parents=True)
    bookkeeper = bookkeeper_of(rig)

    for _ in range(MOST_REFUSALS + 1):
        with pytest.raises(OutputsAway):
            bookkeeper.start_launched()
    assert as_it_is(later)[0] == "running"
    assert as_it_is(waits)[0] == "pending"
    lock.rmdir()
    bookkeeper.start_launched()
    assert as_it_is(waits)[0] == "running"


@pytest.mark.django_db
def test_a_run_that_redis_refuses_for_good_delays_no_other_and_fails(
    rig: Rig,
) -> None:
    rig.store.wire.call("CONFIG", "SET", "proto-max-bulk-len", 1 << 20)
    large = {
        "kind": "let",
        "at": "$.x",
        "value": {"op": "lit", "value": "x" * (2 << 20)},
    }
    refused = run_create(
        Launch(program=program(seq(large)), ctx={"n": 1}),
        epoch=reconcile(rig.store).epoch,
    )
    Run.objects.filter(pk=refused.pk).update(created_at=timezone.now() - LONG_AGO)
    later = left_pending(rig)
    bookkeeper = bookkeeper_of(rig)

    bookkeeper.start_launched()
    assert as_it_is(later)[0] == "running"
    assert as_it_is(refused)[0] == "pending"
    for _ in range(MOST_REFUSALS - 1):
        bookkeeper.start_launched()
    assert as_it_is(refused) == ("failed", "NotStarted")
    assert "can't be started" in refused.error["text"]


@pytest.mark.django_db
def test_a_redis_that_takes_nothing_fails_no_run(rig: Rig) -> None:
    run, bookkeeper = left_pending(rig), bookkeeper_of(rig)
    rig.store.wire.call("CONFIG", "SET", "min-replicas-to-write", 1)
    for _ in range(MOST_REFUSALS):
        with pytest.raises(RedisConnectionError, match="NOREPLICAS"):
            bookkeeper.start_launched()
    assert as_it_is(run)[0] == "pending"
    rig.store.wire.call("CONFIG", "SET", "min-replicas-to-write", 0)
    bookkeeper.start_launched()
    assert as_it_is(run)[0] == "running"
