"""What Redis has and the archive does not is not made again, whichever server is used."""

from __future__ import annotations

import pytest
from backups import Backup
from lost_runs import CHAIN, Noting, ended, lose, recover
from rig import Rig

from blueprints.models import Installation
from workers.archive.archiver import Archiver
from workers.broker.installation import take_over
from workers.runs.control import pause_run, resume_run
from workers.runs.reconciling import reconcile
from workers.runs.recovery import NotArchived, recover_run

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_is_recovered_once_what_redis_has_of_its_journal_is_archived(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    # The copy does not say that this entry is archived.
    backup = Backup(rig.store)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    backup.restore()
    reconcile(rig.store)
    recover(rig)
    run.refresh_from_db()
    assert (run.status, run.generation, run.lost_status) == ("running", 1, "running")
    with pytest.raises(NotArchived, match="try again"):
        recover_run(rig.store, run)

    Archiver(rig.store).turn()
    recover(rig)
    run = ended(rig, run)
    assert (run.status, run.generation) == ("done", 2)
    assert set(noting.times().values()) == {1}


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_server_that_is_taken_back_goes_on_with_the_runs_that_it_has(
    rig: Rig, noting: Noting, status: str
) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    # This is committed, and not archived.
    rig.work_off(most=1, steps=1)
    if status == "paused":
        run.refresh_from_db()
        assert pause_run(rig.store, run)
    first = Backup(rig.store)
    Installation.objects.update(server="another")
    lose(rig)
    run.refresh_from_db()
    assert (run.status, run.lost_status) == ("interrupted", status)

    first.restore()
    take_over(rig.store)
    reconcile(rig.store)
    run.refresh_from_db()
    assert (run.status, run.lost_status, run.error) == (status, "", None)
    resume_run(rig.store, run)
    run = ended(rig, run)
    assert (run.status, run.generation) == ("done", 1)
    assert set(noting.times().values()) == {1}


def test_a_server_that_is_taken_back_does_not_go_on_with_a_run_that_went_back(
    rig: Rig, noting: Noting
) -> None:
    run = rig.launch(CHAIN)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    first = Backup(rig.store)
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    Installation.objects.update(server="another")
    lose(rig)
    first.restore()
    take_over(rig.store)
    reconcile(rig.store)
    run.refresh_from_db()
    assert (run.status, run.lost_status) == ("interrupted", "running")
    recover_run(rig.store, run)
    run = ended(rig, run)
    assert (run.status, run.generation) == ("done", 2)
    assert set(noting.times().values()) == {1}
