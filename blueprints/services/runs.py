"""Write runs."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from blueprints.agent_modules import added_folders
from blueprints.agent_sources import source_hashes
from blueprints.models import BlueprintVersion, Run, Task
from blueprints.services.programs import program_keep
from engine.blueprint import Program, merge_init_ctx
from engine.flow.json_text import Json, find_fault
from engine.ids import new_id


@dataclass(frozen=True, slots=True)
class Launch:
    """The request to launch one run.

    `ctx` is merged over the Blueprint's default_init_ctx. `version` is the version that
    the program was compiled from, if it is one of the store; `origin` is what
    `blueprints/loaders/origin.py` keeps of the Blueprint's file, if there is one. `run_id`
    is set here, so that an interrupted caller can find the run.
    """

    program: Program
    ctx: Json
    title: str = ""
    deadline_s: float | None = None
    version: BlueprintVersion | None = None
    origin: Json = None
    run_id: str = field(default_factory=partial(new_id, "R"))


@transaction.atomic
def run_create(launch: Launch, *, epoch: str = "") -> Run:
    """Create a task and its pending run; start nothing.

    The deadline, in seconds from now, is that of the launch, else of the Blueprint, else
    SWARM_RUN_DEADLINE. Raise ValueError for a Ctx that is no JSON and for a deadline that
    is not positive.
    """
    program = launch.program
    fault = find_fault(launch.ctx)
    if fault is not None:
        raise ValueError(f"ctx at {fault[0]}: {fault[1]}")
    bounds = (launch.deadline_s, program.run_deadline_s, settings.SWARM_RUN_DEADLINE)
    seconds = next(bound for bound in bounds if bound is not None)
    # NaN fails this comparison, too.
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a run's deadline must be more than 0 s, got {seconds!r}")
    now = timezone.now()
    task = Task.objects.create(
        blueprint_id=program.blueprint_id,
        title=launch.title,
        init_ctx=launch.ctx,
        origin=launch.origin,
        created_at=now,
    )
    return Run.objects.create(
        id=launch.run_id,
        task=task,
        program_id=program_keep(program),
        version=launch.version,
        ctx=merge_init_ctx(program.default_init_ctx, launch.ctx),
        sources={
            "functions": source_hashes(program.agents.values()),
            "folders": added_folders(),
        },
        epoch=epoch,
        deadline_at=now + timedelta(seconds=seconds),
        created_at=now,
    )
