"""Ended runs are deleted for good, and leave a row each."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from flow_documents import seq
from rig import Rig, step

from blueprints.models import (
    Attempt,
    DeletedRun,
    Program,
    Run,
    RunEvent,
    Step,
    Task,
)
from blueprints.selectors.programs import run_program
from blueprints.services import retention
from blueprints.services.programs import program_keep
from workers.archive.archiver import Archiver
from workers.runs.retention import StillNeeded, delete_run, prune
from workers.steward.database_duties import Bookkeeper

pytestmark = pytest.mark.django_db

TABLES = (Task, Run, RunEvent, Step, Attempt)


@pytest.fixture(autouse=True)
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.management.commands.runs.database_ready", lambda: None)


def ran(rig: Rig, days: int = 0) -> Run:
    """Return a run that ended some days ago."""
    run = rig.launch(seq(step(), step(), step()))
    rig.work_off()
    Archiver(rig.store).turn()
    ended = timezone.now() - timedelta(days=days)
    began = ended - timedelta(minutes=1)
    Run.objects.filter(pk=run.pk).update(finished_at=ended, created_at=began)
    run.refresh_from_db()
    return run


def counts() -> list[int]:
    return [table._default_manager.count() for table in TABLES]


def command(capsys: Any, *args: str) -> tuple[int, Any]:
    """Return the exit code and the JSON of a verb of `runs`."""
    code: Any = 0
    try:
        call_command("runs", *args, "--json")
    except SystemExit as ended:
        code = ended.code
    return code, json.loads(capsys.readouterr().out)


def test_a_deleted_run_leaves_only_a_row_about_it(rig: Rig, capsys: Any) -> None:
    kept = ran(rig)
    before = counts()
    run = ran(rig)
    assert command(capsys, "delete", run.pk) == (0, {"run": run.pk, "status": "done"})
    assert counts() == before
    [left] = DeletedRun.objects.all()
    assert (left.pk, left.blueprint, left.status) == (run.pk, "b", "done")
    assert (left.program, left.task) == (run.program_id, run.task_id)
    assert left.finished_at == run.finished_at
    assert bytes(left.journal_hash) == bytes(run.journal_hash)
    assert left.is_complete
    assert left.deleted_by
    with pytest.raises(CommandError, match=rf"run {run.pk} was deleted on .*\("):
        call_command("runs", "show", run.pk)
    assert Run.objects.get().pk == kept.pk


def test_an_open_run_and_one_that_is_not_archived_are_not_deleted(
    rig: Rig, capsys: Any
) -> None:
    run = rig.launch(seq(step()))
    Archiver(rig.store).turn()
    before = counts()
    assert command(capsys, "delete", run.pk)[0] == 1
    with pytest.raises(StillNeeded, match="it is running"):
        delete_run(rig.store, Run.objects.get(), "me")
    rig.store.finish(run.pk, 1, "cancelled", "why")
    # As `runs cancel` does.
    Run.objects.update(status="cancelled")
    with pytest.raises(StillNeeded, match="its end is not archived yet"):
        delete_run(rig.store, Run.objects.get(), "me")
    assert counts() == before
    assert not DeletedRun.objects.exists()
    Archiver(rig.store).turn()
    assert command(capsys, "delete", run.pk)[0] == 0
    assert counts() == [0] * len(TABLES)


def test_a_deletion_is_made_in_portions_and_goes_on_after_an_interruption(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(retention, "ROWS", 2)
    run = ran(rig)
    allowed = iter([True, True, False])
    assert not delete_run(rig.store, run, "first", lambda: next(allowed))
    assert RunEvent.objects.filter(run=run).count() == run.journal_number - 4
    for args in (("runs", "export", run.pk), ("journal", "verify", run.pk)):
        monkeypatch.setattr(
            "workers.management.commands.journal.database_ready", lambda: None
        )
        with pytest.raises(CommandError, match=r"was interrupted: end it with: .*dele"):
            call_command(*args)
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "verify")
    assert ended.value.code == 0
    capsys.readouterr()

    assert prune(rig.store, 9999, "second").runs == [run.pk]
    assert counts() == [0] * len(TABLES)
    assert [row.deleted_by for row in DeletedRun.objects.all()] == ["first"]


def test_prune_deletes_what_ended_longer_ago_than_the_setting(
    rig: Rig, capsys: Any, settings: Any
) -> None:
    settings.SWARM_RETENTION = 30
    new, old, older = ran(rig, 29), ran(rig, 31), ran(rig, 99)
    going = rig.launch(seq(step()))
    Run.objects.filter(pk=going.pk).update(created_at=timezone.now() - timedelta(99))
    _, listed = command(capsys, "prune", "--dry-run")
    assert listed == {"days": 30, "runs": [older.pk, old.pk]}
    assert command(capsys, "prune", "--days", "98", "--dry-run")[1]["runs"] == [
        older.pk
    ]
    assert Run.objects.count() == 4
    _, done = command(capsys, "prune")
    assert done == {"days": 30, "runs": [older.pk, old.pk], "kept": {}}
    assert set(Run.objects.values_list("pk", flat=True)) == {new.pk, going.pk}
    assert command(capsys, "prune")[1]["runs"] == []


def test_prune_keeps_what_redis_still_has_and_deletes_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.runs.retention.PAGE", 1)
    rows = [ran(rig, 200), ran(rig, 400)]
    unarchived = rig.launch(seq(step()))
    rig.store.finish(unarchived.pk, 1, "cancelled", "why")
    long_ago = timezone.now() - timedelta(days=300)
    Run.objects.filter(pk=unarchived.pk).update(
        status="cancelled", finished_at=long_ago, created_at=long_ago
    )
    pruned = prune(rig.store, 90, "me")
    assert pruned.runs == [run.pk for run in reversed(rows)]
    assert list(pruned.kept) == [unarchived.pk]
    assert pruned.is_done


def test_the_steward_prunes_only_if_it_is_asked_to(rig: Rig, settings: Any) -> None:
    old = ran(rig, 91)
    bookkeeper = Bookkeeper(rig.store, lambda: True)
    bookkeeper.prune()
    assert Run.objects.filter(pk=old.pk).exists()
    settings.SWARM_PRUNE = True
    bookkeeper.prune()
    assert not Run.objects.exists()
    assert DeletedRun.objects.get().deleted_by == "SWARM_PRUNE, after 90 days"


def test_a_round_of_the_steward_ends_after_its_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ran(rig, 91)
    assert not prune(rig.store, 90, "me", seconds=0).is_done
    assert Run.objects.filter(pk=old.pk).exists()


def test_programs_without_runs_go_after_a_day_unless_they_are_used_again(
    rig: Rig,
) -> None:
    run = ran(rig, 91)
    found = run_program(run)
    assert prune(rig.store, 90, "me").runs == [run.pk]
    assert Program.objects.count() == 1
    Program.objects.update(created_at=timezone.now() - timedelta(days=2))
    program_keep(found)
    prune(rig.store, 90, "me")
    assert Program.objects.count() == 1
    Program.objects.update(created_at=timezone.now() - timedelta(days=2))
    prune(rig.store, 90, "me")
    assert not Program.objects.exists()
