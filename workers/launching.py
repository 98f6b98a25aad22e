"""Launching: a run's row first, then its keys in Redis; both may be done again."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from blueprints.models import Run
from blueprints.models.readable_json import readable
from blueprints.services.installations import installation_name
from blueprints.services.runs import run_create
from engine.blueprint import Program, merge_init_ctx
from engine.run.load import Loader
from engine.run.start import start_of
from engine.run.states import RunStatus
from engine.store.base import StoreFull
from engine.store.redis import RedisStore
from workers.installation import ForeignRedis, hold_redis
from workers.runtime import epoch, limits


class LaunchRefused(Exception):
    """A run can't be started now; the text says why and what to do."""


def launch(
    store: RedisStore,
    *,
    program: Program,
    ctx: Any,
    title: str = "",
    deadline_s: float | None = None,
    run_id: str = "",
) -> Run:
    """Create a run and start it; LaunchRefused when Redis or the journal has no room.

    A run whose launch is interrupted after its row is there is started by the steward.
    """
    waiting = unarchived_bytes(store)
    if waiting > settings.SWARM_JOURNAL_LIMIT:
        raise LaunchRefused(
            f"{waiting} bytes of journal wait to be archived, more than"
            f" SWARM_JOURNAL_LIMIT ({settings.SWARM_JOURNAL_LIMIT}): check that a worker"
            " is running (its steward archives) and that the database answers"
        )
    try:
        hold_redis(store, installation_name())
        here = epoch(store)
    except (StoreFull, ForeignRedis) as error:
        raise LaunchRefused(str(error)) from None
    run = run_create(
        program=_placed(program, ctx),
        ctx=ctx,
        title=title,
        deadline_s=deadline_s,
        epoch=here,
        run_id=run_id,
    )
    try:
        start_run(store, run)
    except StoreFull as error:
        # The caller is told that nothing came of it, so nothing may come of it later.
        give_up(store, run, f"the run was not started: {error}")
        raise LaunchRefused(str(error)) from None
    return run


def _placed(program: Program, ctx: Any) -> Program:
    """Record the folder that a launch names in its Ctx; what steps do to it is theirs."""
    given = merge_init_ctx(program.default_init_ctx, ctx)
    folder = given.get("work_dir") if isinstance(given, dict) else None
    if not isinstance(folder, str) or not folder:
        return program
    # A relative one means the same to workers that stand somewhere else.
    return program.in_folder(os.path.abspath(folder))


def give_up(store: RedisStore, run: Run, text: str) -> bool:
    """End a run that was never started as failed; False if it is past that."""
    # Redis first: what is final there is never started, whoever tries.
    store.finish(run.pk, "failed", text)
    changed = Run.objects.filter(pk=run.pk, status=RunStatus.PENDING).update(
        status=RunStatus.FAILED,
        finished_at=timezone.now(),
        error={"kind": "NotStarted", "text": text},
    )
    return bool(changed)


def unarchived_bytes(store: RedisStore) -> int:
    """Return how much memory the journal takes that waits for the archive, in bytes.

    Up to SWARM_JOURNAL_LIMIT that includes what is kept for those who follow it live;
    beyond it what is archived is dropped first, so that only the rest counts.
    """
    size = store.journal_bytes()
    if size > settings.SWARM_JOURNAL_LIMIT:
        mark = store.archived()
        if mark != "0":
            store.trim(mark)
            size = store.journal_bytes()
    return size


def start_run(store: RedisStore, run: Run) -> str:
    """Start a created run in Redis; idempotent. Returns `ok` or its status there."""
    loader = Loader(store)
    prepared = loader.prepare(Program.from_json(readable(run.program)))
    left = timedelta(hours=1)
    if run.deadline_at is not None:
        left = run.deadline_at - timezone.now()
    deadline_ms = max(1, round(left.total_seconds() * 1000))
    answer = store.start(
        start_of(
            run.pk,
            run.generation,
            prepared,
            readable(run.ctx),
            deadline_ms,
            limits(),
        )
    )
    if answer == "ok":
        Run.objects.filter(pk=run.pk, status=RunStatus.PENDING).update(
            status=RunStatus.RUNNING, started_at=timezone.now()
        )
    elif answer in ("cancelled", "failed"):
        Run.objects.filter(pk=run.pk, status=RunStatus.PENDING).update(
            status=answer, finished_at=timezone.now()
        )
    return answer
