"""Delete ended runs for good; a DeletedRun row tells what each of them was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from blueprints.conf import output_store
from blueprints.models import (
    Attempt,
    DeletedRun,
    OutputRecord,
    OutputReference,
    Program,
    Run,
    RunEvent,
    Step,
    Task,
)
from blueprints.services.outputs import outputs_probe
from engine.run.states import FINAL_RUN

ROWS: Final = 500
"""Rows that one statement deletes, so that nobody waits long for the database."""
KEPT: Final = timedelta(days=1)
"""How long a content that no run refers to is kept after its last put."""
UNUSED: Final = timedelta(days=1)
"""How long a program without runs stays, so that a launch can't lose the one it found."""


@transaction.atomic
def run_mark_deleted(run_id: str, deleted_by: str) -> DeletedRun | None:
    """Write the DeletedRun of an ended run; return None for a run that is open or gone.

    It is kept if the run has one, so that an interrupted deletion goes on.
    """
    found = Run.objects.select_for_update(of=("self",)).select_related(
        "task", "version"
    )
    run = found.only(
        *("status", "generation", "program_id", "created_at", "started_at"),
        *("finished_at", "journal_number", "journal_hash", "task__title"),
        *("task__blueprint_id", "version__version"),
    )
    row = run.filter(pk=run_id, status__in=FINAL_RUN).first()
    if row is None:
        return None
    facts = {
        "task": row.task_id,
        "title": row.task.title,
        "blueprint": row.task.blueprint_id,
        "version": row.version.version if row.version else "",
        "program": row.program_id,
        "deleted_by": deleted_by,
        "deleted_at": timezone.now(),
    }
    for name in ("status", "generation", "created_at", "started_at", "finished_at"):
        facts[name] = getattr(row, name)
    facts |= {
        "journal_number": row.journal_number,
        "journal_hash": bytes(row.journal_hash),
    }
    deleted, _ = DeletedRun.objects.get_or_create(pk=run_id, defaults=facts)
    return deleted


def run_delete(deleted: DeletedRun, goes_on: Callable[[], bool]) -> bool:
    """Delete the rows of a run that is marked as deleted, ROWS at a time.

    Return whether all are gone; otherwise `goes_on` has said to stop, and the next call
    continues.
    """
    run = deleted.pk
    parts: tuple[QuerySet[Any], ...] = (
        RunEvent.objects.filter(run_id=run),
        OutputRecord.objects.filter(run_id=run),
        OutputReference.objects.filter(run_id=run),
        Attempt.objects.filter(step__run_id=run),
        Step.objects.filter(run_id=run),
    )
    for rows in parts:
        while pks := list(rows.order_by().values_list("pk", flat=True)[:ROWS]):
            if not goes_on():
                return False
            model: type[Model] = rows.model
            model._default_manager.filter(pk__in=pks).delete()
    with transaction.atomic():
        Run.objects.filter(pk=run).delete()
        Task.objects.filter(pk=deleted.task, runs=None).delete()
        DeletedRun.objects.filter(pk=run).update(is_complete=True)
    return True


def unfinished_deletions() -> QuerySet[DeletedRun]:
    """Return the runs whose deletion was interrupted, oldest first."""
    return DeletedRun.objects.filter(is_complete=False).order_by("deleted_at")


def runs_ended_before(days: int) -> QuerySet[Run]:
    """Return the final runs that ended more than some days ago, oldest first."""
    before = timezone.now() - timedelta(days=days)
    # By `created_at`, too, since that is what is indexed.
    old = Run.objects.filter(status__in=FINAL_RUN, created_at__lt=before)
    ended = Q(finished_at__lt=before) | Q(finished_at=None)
    return old.filter(ended).order_by("created_at", "pk")


def runs_after(runs: QuerySet[Run], last: Run) -> QuerySet[Run]:
    """Return those of some runs, in order of time, that come after one of them."""
    same = Q(created_at=last.created_at, pk__gt=last.pk)
    return runs.filter(same | Q(created_at__gt=last.created_at))


def programs_delete_unused() -> int:
    """Delete up to ROWS programs that no run has any more; return how many."""
    unused = Program.objects.filter(
        runs=None, rungenerations=None, created_at__lt=timezone.now() - UNUSED
    ).order_by()
    pks = list(unused.values_list("pk", flat=True)[:ROWS])
    # Once more, since a launch may have used one meanwhile.
    return unused.filter(pk__in=pks).delete()[0] if pks else 0


def outputs_delete_unused(after: str, goes_on: Callable[[], bool]) -> tuple[str, int]:
    """Delete contents, with names greater than `after`, to which no run refers.

    Return the name to go on after, empty when all have been looked at, and how many were
    deleted; `goes_on` ends it in between. Raises OutputsAway. The caller makes sure that
    every reference that is older than KEPT is in the database.
    """
    store, deleted = output_store(), 0
    before = timezone.now() - KEPT
    stamps = store.stamps(after)
    while page := list(islice(stamps, ROWS)):
        old = {sha256 for sha256, at in page if at < before}
        kept = OutputReference.objects.filter(sha256__in=old)
        old.difference_update(kept.values_list("sha256", flat=True))
        for sha256 in sorted(old - {outputs_probe()}):
            if not goes_on():
                return after, deleted
            deleted += store.delete_older(sha256, before)
        after = page[-1][0]
        if not goes_on():
            return after, deleted
    return "", deleted
