"""Writes runs."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from blueprints.models import Run, Task
from engine.blueprint import Program, merge_init_ctx
from engine.flow.json_text import Json, find_fault
from engine.ids import new_id


@transaction.atomic
def run_create(
    *,
    program: Program,
    ctx: Json,
    title: str = "",
    deadline_s: float | None = None,
    epoch: str = "",
    run_id: str = "",
) -> Run:
    """Returns a new pending run of a new task; nothing is started.

    `run_id` is for a caller that has to know the run even if it is interrupted here.

    `ctx` is laid over the Blueprint's default_init_ctx. The deadline is the first set
    of `deadline_s`, the Blueprint's and SWARM_RUN_DEADLINE, in seconds from now.
    Raises ValueError for a Ctx that is no JSON and a deadline that is not positive.
    """
    fault = find_fault(ctx)
    if fault is not None:
        raise ValueError(f"ctx at {fault[0]}: {fault[1]}")
    limits = (deadline_s, program.run_deadline_s, settings.SWARM_RUN_DEADLINE)
    seconds = next(limit for limit in limits if limit is not None)
    # Written so that NaN is refused too.
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a run's deadline must be more than 0 s, got {seconds!r}")
    now = timezone.now()
    task = Task.objects.create(
        blueprint_id=program.blueprint_id, title=title, init_ctx=ctx, created_at=now
    )
    return Run.objects.create(
        id=run_id or new_id("R"),
        task=task,
        program_id=program.program_id,
        program=program.to_json(),
        ctx=merge_init_ctx(program.default_init_ctx, ctx),
        epoch=epoch,
        deadline_at=now + timedelta(seconds=seconds),
        created_at=now,
    )
