"""Launch a run: write its row, then its keys in Redis; both steps are idempotent."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from blueprints.models import Run
from blueprints.models.readable_json import readable
from blueprints.selectors.programs import run_program
from blueprints.selectors.run_journals import run_snapshot
from blueprints.services.outputs import OutputsElsewhere, ensure_outputs
from blueprints.services.runs import Launch, run_create
from engine.blueprint import Program, merge_init_ctx
from engine.output_store import OutputsAway
from engine.run.drive.start import start_of
from engine.run.replay import Snapshot
from engine.run.replay.install import Opening, install
from engine.run.states import RunStatus
from engine.store.base import Start, StoreFull
from engine.store.redis import RedisStore
from workers.broker.installation import ForeignRedis
from workers.runs.reconciling import reconcile
from workers.wiring import limits, make_loader

NOT_OURS: Final = (ForeignRedis, OutputsElsewhere, OutputsAway)
"""The errors of a Redis or of outputs that are not those of this installation."""


class LaunchRefused(Exception):
    """A run can't be started now; the text says why and what to do."""

    def __str__(self) -> str:
        """Return the whole sentence."""
        return f"The run was not started: {self.args[0]}"


def launch(store: RedisStore, request: Launch) -> Run:
    """Create a run and start it; raise LaunchRefused if that is not possible.

    If the launch is interrupted after the row is written, the steward starts the run.
    """
    waiting = unarchived_bytes(store)
    if waiting > settings.SWARM_JOURNAL_LIMIT:
        raise LaunchRefused(
            f"{waiting} bytes of journal wait to be archived, more than"
            f" SWARM_JOURNAL_LIMIT ({settings.SWARM_JOURNAL_LIMIT}): check that a worker"
            " is running (its steward archives) and that the database answers"
        )
    request = _in_its_folder(request)
    try:
        epoch = reconcile(store).epoch
        ensure_outputs()
        run = run_create(request, epoch=epoch)
    except (StoreFull, *NOT_OURS, ValueError) as error:
        raise LaunchRefused(str(error)) from None
    try:
        _start(store, run, request.program)
    except (StoreFull, OutputsAway, ValueError) as error:
        # The caller gets an error, so no steward may start the run later.
        refused = LaunchRefused(str(error))
        fail_unstarted_run(store, run, str(refused))
        raise refused from None
    return run


def _in_its_folder(request: Launch) -> Launch:
    """Fix the folder that the initial Ctx names; steps can't change it later."""
    ctx = merge_init_ctx(request.program.default_init_ctx, request.ctx)
    folder = ctx.get("work_dir") if isinstance(ctx, dict) else None
    if not isinstance(folder, str) or not folder:
        return request
    # Workers may run in another directory, so the path is made absolute.
    return replace(request, program=request.program.in_folder(os.path.abspath(folder)))


def fail_unstarted_run(store: RedisStore, run: Run, text: str) -> bool:
    """Mark a run that was never started as failed; return False if it has started."""
    # Redis first: a run that is final there is never started.
    store.finish(run.pk, run.generation, "failed", text)
    changed = _pending(run).update(
        status=RunStatus.FAILED,
        finished_at=timezone.now(),
        error={"kind": "NotStarted", "text": text},
    )
    return bool(changed)


def unarchived_bytes(store: RedisStore) -> int:
    """Return how many bytes of memory the unarchived journal takes.

    Up to SWARM_JOURNAL_LIMIT this includes archived entries that live views still read.
    Beyond it, archived entries are trimmed first.
    """
    size = store.journal_bytes()
    if size > settings.SWARM_JOURNAL_LIMIT:
        mark = store.archived()
        if mark != "0":
            store.trim(mark)
            size = store.journal_bytes()
    return size


def start_run(store: RedisStore, run: Run) -> str:
    """Start a run from its row, idempotently; return `ok` or its status in Redis."""
    return _start(store, run, run_program(run), run_snapshot(run, run.generation))


def _start(
    store: RedisStore, run: Run, program: Program, snapshot: Snapshot | None = None
) -> str:
    left = timedelta(hours=1)
    if run.deadline_at is not None:
        left = run.deadline_at - timezone.now()
    deadline_ms = max(1, round(left.total_seconds() * 1000))
    if snapshot is None:
        ctx = readable(run.ctx)
        answer = store.start(first_start(store, run, program, ctx, deadline_ms))
    else:
        is_paused = run.lost_status == RunStatus.PAUSED
        opening = Opening(store.now_ms(), deadline_ms, is_paused, run.line)
        answer = install(store, snapshot, program, opening)
    pending = _pending(run)
    if answer == "ok":
        status = run.lost_status or RunStatus.RUNNING
        pending.update(status=status, lost_status="", started_at=timezone.now())
    elif answer in ("cancelled", "failed"):
        pending.update(status=answer, finished_at=timezone.now())
    return answer


def first_start(
    store: RedisStore, run: Run, program: Program, ctx: Any, deadline_ms: int
) -> Start:
    """Return what a generation of a run is started with that begins anew."""
    loader = make_loader(store)
    prepared, outputs = loader.prepare(program), loader.outputs
    return start_of(
        run.pk, run.generation, prepared, ctx, deadline_ms, limits(), outputs
    )


def _pending(run: Run) -> QuerySet[Run]:
    """Return the row of a run if this generation of it has not started."""
    return Run.objects.filter(
        pk=run.pk, generation=run.generation, status=RunStatus.PENDING
    )
