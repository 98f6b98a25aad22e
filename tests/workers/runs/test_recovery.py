"""Runs that Redis has lost are rebuilt from the archive, and no other run is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from backups import Backup
from flow_documents import at, fanout, let, lit, seq
from lost_runs import CHAIN, Noting, ended, lose, recover
from rig import Rig, step

from blueprints.conf import output_store
from blueprints.models import Installation, Run, RunEvent, RunGeneration, Step
from blueprints.models.readable_json import readable
from blueprints.services.outputs import check_outputs
from blueprints.stores.outputs.files import FileOutputs
from engine.output_store import name_of
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.store.base import JournalEntry, generation_key
from engine.store.redis import STATE
from engine.store.wire import Unreconciled
from workers.archive.archiver import Archiver
from workers.archive.rows import ReadEntry
from workers.runs.control import cancel_run, pause_run, resume_run
from workers.runs.reconciling import reconcile
from workers.runs.recovery import Unrecoverable, recover_run
from workers.steward.database_duties import Bookkeeper

pytestmark = pytest.mark.django_db(transaction=True)

LANES = seq(step(), fanout(lit([1, 2, 3, 4, 5, 6]), step(), bind="$.n"), step())


def test_an_emptied_redis_goes_on_where_the_archive_ends(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=2, steps=1)
    Archiver(rig.store).turn()
    archived = {place: key for place, key, _ in noting.made}
    assert len(archived) == 2
    # This one is not archived, so it is made again.
    rig.work_off(most=1, steps=1)
    unarchived = noting.made[-1]

    lose(rig)
    run.refresh_from_db()
    assert (run.status, run.lost_status) == ("running", "running")
    recover(rig)
    run.refresh_from_db()
    assert (run.status, run.generation, run.line) == ("running", 2, 1)
    assert (run.reason, run.lost_status) == ("recovery", "")

    run = ended(rig, run)
    assert run.status == "done"
    assert [times for place, times in noting.times().items()] == [1, 1, 2, 1]
    assert noting.made[3] == unarchived
    steps = Step.objects.filter(run=run)
    assert {one.generation for one in steps} == {2}
    assert {one.place: one.key for one in steps} == {
        place: key for place, key, _ in noting.made
    }
    assert {one.attempts for one in steps} == {1}
    before = RunGeneration.objects.get(run=run)
    assert (before.generation, before.status, before.line) == (1, "interrupted", 1)
    assert RunEvent.objects.filter(run=run, generation=1).exists()


def test_a_recovered_fanout_makes_no_archived_lane_again(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(LANES)
    rig.work_off(most=4, steps=1)
    Archiver(rig.store).turn()
    settled = set(noting.times())
    assert len(settled) >= 3

    lose(rig)
    recover(rig)
    run = ended(rig, Run.objects.get(pk=run.pk), steps=1)
    assert run.status == "done"
    assert set(noting.times().values()) == {1}
    assert len(noting.times()) == 8
    ids = {place: key for place, key, _ in noting.made}
    assert {one.place: one.key for one in Step.objects.filter(run=run)} == ids


def test_what_was_under_way_begins_again_and_is_not_charged(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    message = rig.store.wire.call("LRANGE", "swarm:q:swarm.python_fn", -1, -1)
    assert message
    ref_key = generation_key(run.pk, 1)
    rig.work_off(most=1, steps=1)
    queue = "swarm.python_fn"
    rig.store.claim_next([queue], "abcdefabcdef", 60_000)
    record = rig.store.record(ref_key, "0")
    assert record is not None
    assert (record.state, record.tries) == ("r", 1)
    Archiver(rig.store).turn()

    lose(rig)
    recover(rig)
    record = rig.store.record(generation_key(run.pk, 2), "0")
    assert record is not None
    assert (record.state, record.tries, record.lost) == ("p", 0, 0)
    assert ended(rig, run).status == "done"
    assert [attempt for _, _, attempt in noting.made] == [1, 1, 1, 1]


def test_a_run_of_which_nothing_is_archived_begins_again(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN, {"n": 7})
    rig.work_off(most=1, steps=1)
    first = noting.made[0]
    lose(rig)
    recover(rig)
    run = ended(rig, run)
    assert (run.status, run.generation) == ("done", 2)
    assert readable(run.result)["n"] == 7
    assert noting.made[1] == first


def test_a_paused_run_stays_paused(rig: Rig, noting: Noting) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    # This is in its row, and not in the archived journal.
    run.refresh_from_db()
    assert pause_run(rig.store, run)

    lose(rig)
    recover(rig)
    run.refresh_from_db()
    assert (run.status, run.generation) == ("paused", 2)
    assert rig.work_off() == 0
    resume_run(rig.store, run)
    assert ended(rig, run).status == "done"
    assert set(noting.times().values()) == {1}


def test_a_recovered_run_is_recovered_again(rig: Rig, noting: Noting) -> None:
    run = rig.launch(CHAIN)
    for _ in range(3):
        rig.work_off(most=1, steps=1)
        Archiver(rig.store).turn()
        lose(rig)
        recover(rig)
    run = ended(rig, run)
    assert (run.status, run.generation, run.line) == ("done", 4, 1)
    assert set(noting.times().values()) == {1}
    key = {place: key for place, key, _ in noting.made}
    assert {one.place: one.key for one in Step.objects.filter(run=run)} == key


def test_only_what_went_back_is_rebuilt_and_no_ended_run_revives(
    rig: Rig, noting: Noting
) -> None:
    moved, still, over = (rig.launch(CHAIN) for _ in range(3))
    unknown = rig.launch(CHAIN)
    Run.objects.filter(pk=unknown.pk).delete()
    archiver = Archiver(rig.store)
    archiver.turn()
    backup = Backup(rig.store)
    rig.work_off(most=2, steps=1)
    archiver.turn()
    rig.store.finish(over.pk, 1, "cancelled", "by a test")
    archiver.turn()
    numbers = {run.pk: run.archived_number for run in Run.objects.all()}
    behind = {pk for pk, number in numbers.items() if number > 1}

    backup.restore()
    reconcile(rig.store)
    for run in (moved, still, over):
        run.refresh_from_db()
    assert over.status == "cancelled"
    assert rig.store.head(over.pk) is None
    lost = {run.pk for run in Run.objects.exclude(lost_status="")}
    assert lost == behind - {over.pk}
    assert lost

    recover(rig)
    for one in (moved, still):
        run = ended(rig, one)
        assert (run.status, run.generation) == ("done", 2 if run.pk in lost else 1)
    over.refresh_from_db()
    assert (over.status, over.generation) == ("cancelled", 1)
    assert set(noting.times().values()) <= {1, 2, 3}
    head = rig.store.head(unknown.pk)
    assert head is not None
    assert head.status == "done"


def test_a_clone_of_the_database_on_an_empty_redis_starts_nothing(
    rig: Rig, noting: Noting
) -> None:
    run, paused = rig.launch(CHAIN), rig.launch(CHAIN)
    rig.work_off(most=2, steps=1)
    Archiver(rig.store).turn()
    paused.refresh_from_db()
    pause_run(rig.store, paused)
    pending = rig.launch(CHAIN)
    Run.objects.filter(pk=pending.pk).update(status="pending")
    epoch = reconcile(rig.store).epoch
    # The clone knows another server process than the one that is here.
    Installation.objects.update(server="another")
    rig.store.wire.call("FLUSHALL")

    bookkeeper = Bookkeeper(rig.store, lambda: True)
    bookkeeper._reconcile()
    bookkeeper.start_launched()
    bookkeeper.find_lost()
    recover(rig)
    rows = {one.pk: (one.status, one.lost_status) for one in Run.objects.all()}
    assert rows == {
        run.pk: ("interrupted", "running"),
        paused.pk: ("interrupted", "paused"),
        pending.pk: ("interrupted", "pending"),
    }
    run.refresh_from_db()
    assert f"runs recover {run.pk}" in run.error["text"]
    assert reconcile(rig.store).epoch != epoch
    assert rig.store.wire.call("KEYS", f"{STATE}r:*") == []
    assert rig.work_off() == 0

    # Until a person says that no other server goes on with them.
    for one in (run, paused, pending):
        recover_run(rig.store, Run.objects.get(pk=one.pk))
    assert ended(rig, run).status == "done"
    assert ended(rig, pending).status == "done"
    paused.refresh_from_db()
    assert paused.status == "paused"


def test_a_journal_with_a_gap_interrupts_the_run_and_says_what_to_do(
    rig: Rig, noting: Noting
) -> None:
    holed, well = rig.launch(CHAIN), rig.launch(CHAIN)
    rig.work_off(most=4, steps=1)
    Archiver(rig.store).turn()
    RunEvent.objects.filter(run=holed, number=2).delete()

    lose(rig)
    recover(rig)
    holed.refresh_from_db()
    assert (holed.status, holed.error["kind"]) == ("interrupted", "RedisLost")
    assert "lacks entry 2" in holed.error["text"]
    assert f"runs rerun {holed.pk}" in holed.error["text"]
    with pytest.raises(Unrecoverable, match="lacks entry 2"):
        recover_run(rig.store, holed)
    assert ended(rig, well).status == "done"
    assert rig.store.head(holed.pk) is None


def test_a_run_that_was_cancelled_meanwhile_is_not_rebuilt(rig: Rig) -> None:
    run = rig.launch(CHAIN)
    Archiver(rig.store).turn()
    lose(rig)
    before = Run.objects.get(pk=run.pk)
    assert cancel_run(rig.store, Run.objects.get(pk=run.pk), "by a test")
    # The recoverer had read the row, and replayed the journal, before that.
    assert recover_run(rig.store, before).status == "cancelled"
    recover(rig)
    run.refresh_from_db()
    assert (run.status, run.generation, run.lost_status) == ("cancelled", 1, "")


class ReadsBeforeItGoesBack(Archiver):
    """Has read a page when the server is set back and compared."""

    backup: Backup

    def _read(self, entries: list[JournalEntry]) -> list[ReadEntry]:
        self.backup.restore()
        reconcile(self._store)
        return super()._read(entries)


def test_entries_that_were_read_before_redis_went_back_are_not_archived_after_it(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    archiver = ReadsBeforeItGoesBack(rig.store)
    archiver.backup = Backup(rig.store)
    rig.work_off(most=1, steps=1)
    run.refresh_from_db()
    number = run.archived_number
    # The server is another process after it was set back.
    Installation.objects.update(server="the process before")

    with pytest.raises(Unreconciled):
        archiver.turn()
    run.refresh_from_db()
    assert (run.archived_number, run.lost_status) == (number, "")
    assert rig.store.archived() != "0"
    assert Archiver(rig.store).turn() == 0
    rig.work_off()
    run = ended(rig, run)
    assert run.status == "done"
    assert (run.generation, run.unreplayable) == (1, "")


def test_an_archiver_goes_on_after_a_restart(rig: Rig, noting: Noting) -> None:
    run = rig.launch(CHAIN)
    archiver = Archiver(rig.store)
    archiver.turn()
    rig.work_off()
    Installation.objects.update(server="the process after")
    with pytest.raises(Unreconciled):
        archiver.turn()
    assert archiver.turn() > 0
    run.refresh_from_db()
    assert run.status == "done"


WIDE = {f"k{number}": 0 for number in range(10_000)}


class Wide:
    """Answers with an object that is kept elsewhere."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        return Outcome("passed", WIDE)


def test_a_run_that_waits_for_one_content_delays_no_other(
    rig: Rig, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    check_outputs()
    rig.spawner = Wide()
    # A replay looks into the object to make this write again.
    waits = rig.launch(
        seq(step(), let("$.c", at("$.n.k0")), step("$.m")), {"n": 1, "m": 1}
    )
    other = rig.launch(CHAIN)
    rig.work_off(most=2, steps=1)
    Archiver(rig.store).turn()
    text = json.dumps(WIDE, separators=(",", ":"))
    store, name = output_store(), name_of(text.encode())
    assert isinstance(store, FileOutputs)
    path = store.root / name[:2] / name
    path.unlink()
    path.mkdir()

    lose(rig)
    with pytest.raises(RuntimeError, match=f"run {waits.pk} is not recovered: .*read"):
        recover(rig)
    other.refresh_from_db()
    assert (other.generation, other.lost_status) == (2, "")
