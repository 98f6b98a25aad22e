"""Recover a run that Redis has lost: rebuild it from the archive as its next generation.

The archived journal is replayed, so no step with an archived end runs again. The next
generation continues the line of the one before: its steps keep their ids, by which agents
know what they have done. What was under way begins again and is not charged.
"""

from __future__ import annotations

import logging
from contextlib import closing
from itertools import chain
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet

from blueprints.command_line import typed
from blueprints.conf import output_store
from blueprints.models import Run
from blueprints.models.readable_json import readable
from blueprints.selectors.programs import run_program
from blueprints.selectors.run_journals import (
    JournalGap,
    journal_entries,
    run_snapshot,
)
from blueprints.services.run_generations import (
    GenerationChanged,
    run_generation_open,
    run_snapshot_keep,
    run_steps_move,
)
from engine.blueprint import Program
from engine.run.attempt.outcomes import as_text
from engine.run.journal.entries import BadEntry
from engine.run.replay import Replay, ReplayError, Snapshot
from engine.run.replay.install import generation_from
from engine.run.replay.lineage import Beginning
from engine.run.replay.recorded import RemadeOutputs
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.base import JournalEntry, generation_key
from engine.store.redis import RedisStore
from workers.runs.launch import first_start, start_run
from workers.runs.reconciling import LIVE, LOST, reconcile
from workers.wiring import limits

logger = logging.getLogger(__name__)

REASON: Final = "recovery"
RECOVERABLE: Final = frozenset({*LIVE, RunStatus.INTERRUPTED})
NOT_ARCHIVED: Final = (
    "run {run} is not recovered yet: Redis has entries of its journal that are not archived."
    " A worker's steward archives them; try again then"
)
UNSOUND: Final = (ReplayError, JournalGap, BadEntry, ValueError, LookupError)


class Unrecoverable(Exception):
    """A run can't be rebuilt from the archive; the text says why and what to do."""


class NotArchived(Unrecoverable):
    """A run has entries in Redis that the archive does not have yet; the text says so."""


def lost_runs() -> QuerySet[Run]:
    """Return the runs that Redis has lost, the oldest first."""
    lost = Q(status__in=LIVE) & ~Q(lost_status="")
    return Run.objects.filter(lost | Q(status=RunStatus.INTERRUPTED)).order_by("pk")


def is_lost(run: Run) -> bool:
    """Return whether a run waits for its recovery."""
    return lost_runs().filter(pk=run.pk).exists()


def recover_run(store: RedisStore, run: Run) -> Run:
    """Open the next generation of a run that Redis has lost; return its row.

    A run that is not any more what `run` shows stays as it is: it was cancelled, or has to
    wait, or somebody else has recovered it. One that can't be rebuilt is interrupted, and
    raises Unrecoverable. A caller that dies leaves a run that is still lost, or a pending
    one that a steward starts.

    Raises NotArchived while Redis may have entries of the run that are not archived: what
    they tell is not made again.
    """
    epoch = reconcile(store).epoch
    key = generation_key(run.pk, run.generation)
    if store.may_archive(key):
        raise NotArchived(NOT_ARCHIVED.format(run=run.pk))
    try:
        snapshot, beginning = _rebuilt(store, run)
    except UNSOUND as error:
        if text := _give_up(run, error):
            raise Unrecoverable(f"run {run.pk} is interrupted: {text}") from None
        return Run.objects.get(pk=run.pk)
    begun = generation_from(snapshot, run.pk, run.generation + 1)
    was_paused = run.lost_status == RunStatus.PAUSED
    try:
        with transaction.atomic():
            row = run_generation_open(
                run,
                REASON,
                over={run.status} & RECOVERABLE,
                line=run.line,
                epoch=epoch,
                deadline_at=run.deadline_at,
                lost_status=RunStatus.PAUSED if was_paused else RunStatus.RUNNING,
            )
            # What Redis has of it lags behind.
            store.remove(key)
            how = beginning.to_json() if beginning else None
            run_snapshot_keep(row, begun, run, how)
            run_steps_move(row)
    except GenerationChanged:
        return Run.objects.get(pk=run.pk)
    start_run(store, row)
    row.refresh_from_db()
    logger.info(
        "run %s is recovered from entry %d of its journal", run.pk, snapshot.number
    )
    return row


def _rebuilt(store: RedisStore, run: Run) -> tuple[Snapshot, Beginning | None]:
    """Return the newest generation of a run as the archive has it, and what follows it.

    If nothing is archived of a run, nothing can have followed from that.
    """
    if run.unreplayable:
        raise ValueError(run.unreplayable)
    program, ctx = run_program(run), readable(run.ctx)
    base = run_snapshot(run, run.generation)
    outputs = RemadeOutputs(output_store())
    made = Replay(program, ctx, limits=limits(), snapshot=base, outputs=outputs)
    # One by one, since a journal may be larger than the memory. The query must have ended
    # before SQLite lets this connection write.
    with closing(journal_entries(run, run.generation)) as entries:
        first = next(entries, None)
        beginning = Beginning() if first or base else None
        if beginning is None:
            first = _first_entry(store, run, program, ctx)
        for entry in chain([first] if first else [], entries):
            made.apply(entry)
    snapshot = made.snapshot()
    if snapshot.status in FINAL_RUN:
        raise ValueError(f"its journal ends as {snapshot.status}")
    outputs.ensure(snapshot.outputs())
    return snapshot, beginning


def _first_entry(
    store: RedisStore, run: Run, program: Program, ctx: Any
) -> JournalEntry:
    """Return the entry with which a run began of which nothing is archived."""
    left = (run.deadline_at or run.created_at) - run.created_at
    deadline_ms = round(left.total_seconds() * 1000)
    start = first_start(store, run, program, ctx, deadline_ms)
    return JournalEntry("", run.pk, run.generation, 1, store.now_ms(), start.entry)


def _give_up(run: Run, why: Exception) -> str:
    """Interrupt a run that can't be rebuilt; return its error, empty if it has changed."""
    rerun = typed(f"runs rerun {run.pk}")
    text = as_text(
        "Redis has lost this run's state, and it can't be rebuilt from the archive:"
        f" {why}. Run it again from its start with: {rerun}"
    )
    as_it_was = Run.objects.filter(
        pk=run.pk, generation=run.generation, status__in={run.status} & RECOVERABLE
    )
    changed = as_it_was.update(
        status=RunStatus.INTERRUPTED,
        lost_status=run.lost_status or RunStatus.RUNNING,
        error={"kind": LOST, "text": text},
    )
    if changed:
        logger.error("run %s is interrupted: %s", run.pk, text)
    return text if changed else ""
