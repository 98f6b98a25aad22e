"""What changes while Redis is compared and lost runs are rebuilt, or instead of that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from backups import Backup
from lost_runs import CHAIN, Noting, ended, lose, recover
from rig import Rig

from blueprints.models import Installation, Run, RunEvent
from blueprints.selectors.run_journals import JournalGap, journal_entries
from engine.store.redis import STATE
from workers.archive.archiver import Archiver
from workers.runs.control import StateLost, cancel_run, pause_run, resume_run
from workers.runs.reconciling import reconcile
from workers.runs.recovery import recover_run
from workers.runs.retention import delete_run

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_server_that_is_exchanged_before_the_recovery_makes_all_runs_wait(
    rig: Rig, noting: Noting
) -> None:
    runs = [rig.launch(CHAIN) for _ in range(2)]
    Archiver(rig.store).turn()
    lose(rig)
    Installation.objects.update(server="another")
    rig.store.wire.call("FLUSHALL")
    recover(rig)
    for run in runs:
        run.refresh_from_db()
        assert (run.status, run.generation) == ("interrupted", 1)
        with pytest.raises(StateLost, match="runs recover"):
            resume_run(rig.store, run)


def test_a_run_that_somebody_else_has_recovered_is_returned_as_it_is(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    Archiver(rig.store).turn()
    lose(rig)
    before = Run.objects.get(pk=run.pk)
    recover(rig)
    # So does `runs recover` beside a steward that was faster.
    row = recover_run(rig.store, before)
    assert (row.status, row.generation) == ("running", 2)
    assert ended(rig, run).status == "done"
    assert set(noting.times().values()) == {1}


def gone_back(rig: Rig) -> Run:
    """A run of which Redis has one entry less than the archive, on a new process."""
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    backup = Backup(rig.store)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    backup.restore()
    return Run.objects.get(pk=run.pk)


@pytest.mark.parametrize("pauses", [True, False])
def test_a_pause_or_resume_does_not_hide_that_redis_went_back(
    rig: Rig, noting: Noting, pauses: bool
) -> None:
    run = gone_back(rig)
    if pauses:
        with pytest.raises(StateLost, match="runs recover"):
            pause_run(rig.store, run)
    run = resume_run(rig.store, run)
    assert (run.status, run.generation) == ("running", 2)
    assert ended(rig, run).status == "done"
    assert set(noting.times().values()) == {1}


@pytest.mark.parametrize("server", ["the same", "another"])
def test_what_went_back_is_removed_and_can_be_cancelled_and_deleted(
    rig: Rig, noting: Noting, server: str
) -> None:
    run = gone_back(rig)
    if server == "another":
        Installation.objects.update(server=server)
        reconcile(rig.store)
        run.refresh_from_db()
        assert run.status == "interrupted"
    assert cancel_run(rig.store, run, "by a test")
    assert rig.store.head(run.pk) is None
    # What is left, a short hash, refuses a late start and goes by itself.
    [left] = rig.store.wire.call("KEYS", f"{STATE}r:*")
    assert rig.store.wire.call("TTL", left) > 0
    rig.work_off()
    assert noting.times().total() == 2
    assert delete_run(rig.store, run, "a test")


def test_a_run_that_was_deleted_does_not_revive(rig: Rig, noting: Noting) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    backup = Backup(rig.store)
    run = ended(rig, run)
    assert delete_run(rig.store, run, "a test")
    backup.restore()
    reconcile(rig.store)
    rig.work_off()
    assert set(noting.times().values()) == {1}
    assert rig.store.open_generations() == set()


def test_the_entries_of_a_journal_are_read_as_they_are_replayed(
    rig: Rig, noting: Noting
) -> None:
    run = ended(rig, rig.launch(CHAIN))
    assert run.archived_number > 2
    RunEvent.objects.filter(run=run, number=3).delete()
    entries = journal_entries(run, 1)
    assert [next(entries).number, next(entries).number] == [1, 2]
    with pytest.raises(JournalGap, match="lacks entry 3"):
        next(entries)


def test_what_a_server_without_a_run_id_has_lost_waits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = rig.store.standing
    monkeypatch.setattr(rig.store, "standing", lambda: replace(told(), server=""))
    run = rig.launch(CHAIN)
    Archiver(rig.store).turn()
    lose(rig)
    run.refresh_from_db()
    assert run.status == "interrupted"
