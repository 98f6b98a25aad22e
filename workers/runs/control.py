"""Pause, cancel, resume and forget runs: first in Redis, then in the database row.

The row is written here too, since no steward may be running to archive the change. Each
but forget writes an entry, which would hide that Redis went back: they compare it with the
archive before that, and raise ForeignRedis as `reconcile` does.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.utils import timezone

from blueprints.command_line import typed
from blueprints.models import Run, Step
from engine.run.states import FINAL_RUN, OPEN_RUN, OPEN_STEP, RunStatus, StepStatus
from engine.store.base import REPLACED, generation_key
from engine.store.redis import RedisStore
from workers.runs.reconciling import reconcile
from workers.runs.recovery import recover_run

PAUSABLE: Final = frozenset({RunStatus.RUNNING, RunStatus.PAUSED})


class StateLost(Exception):
    """Redis has lost the state of a run; the text says what to do."""

    def __init__(self, run: Run) -> None:
        """Name the run and the command that rebuilds it."""
        super().__init__(
            f"Redis has lost the state of run {run.pk}; rebuild it from the archive with:"
            f" {typed(f'runs recover {run.pk}')}"
        )


def pause_run(store: RedisStore, run: Run) -> bool:
    """Stop a PAUSABLE run from starting steps; return whether it is paused.

    Running steps end, and their results are committed. Raise StateLost.
    """
    reconcile(store)
    head = store.head(run.pk)
    answer = store.pause(run.pk)
    if answer == "gone" or head is None:
        raise StateLost(run)
    paused = answer == "ok"
    if paused:
        # A later archived entry may be the resume that followed: then the archive has
        # written the row.
        Run.objects.filter(
            pk=run.pk,
            generation=head.gen,
            status=RunStatus.RUNNING,
            archived_number__lte=head.number,
        ).update(status=RunStatus.PAUSED)
    run.refresh_from_db()
    if paused:
        run.status = RunStatus.PAUSED
    return paused


def resume_run(store: RedisStore, run: Run) -> Run:
    """Resume an open run; one that Redis has lost is rebuilt from the archive.

    Raise Unrecoverable if that is impossible, and StateLost for an interrupted one, which
    waits for `runs recover`.
    """
    reconcile(store)
    head = store.head(run.pk)
    if head is None:
        run.refresh_from_db()
        if run.status == RunStatus.PENDING or run.status in FINAL_RUN:
            # The steward starts a pending one.
            return run
        if run.status == RunStatus.INTERRUPTED:
            raise StateLost(run)
        run = recover_run(store, run)
        head = store.head(run.pk)
    if head is not None and head.status == RunStatus.PAUSED:
        store.resume(run.pk)
    return run


def cancel_run(store: RedisStore, run: Run, why: str) -> bool:
    """End an open run and its steps; return whether it is cancelled."""
    reconcile(store)
    answer = store.finish(run.pk, run.generation, RunStatus.CANCELLED, why)
    # What Redis has lost is replaced there, and its row is open until it is recovered.
    if answer in ("ok", RunStatus.CANCELLED, REPLACED):
        _cancel_row(run, why)
    run.refresh_from_db()
    return run.status == RunStatus.CANCELLED


@transaction.atomic
def _cancel_row(run: Run, why: str) -> None:
    now = timezone.now()
    mine = {"generation": run.generation}
    changed = Run.objects.filter(pk=run.pk, status__in=OPEN_RUN, **mine).update(
        status=RunStatus.CANCELLED,
        finished_at=now,
        error={"kind": "Cancelled", "text": why},
        lost_status="",
    )
    if changed:
        Step.objects.filter(run_id=run.pk, status__in=OPEN_STEP, **mine).update(
            status=StepStatus.CANCELLED, finished_at=now
        )


def forget_run(store: RedisStore, run: Run) -> bool:
    """Remove the keys of an ended run; return False if its end is not archived."""
    key = generation_key(run.pk, run.generation)
    store.remove_all([(key, run.archived_number)])
    return store.head(run.pk) is None
