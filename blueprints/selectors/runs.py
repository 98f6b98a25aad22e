"""Reads runs and their steps from the database; a live run may be further on."""

from django.db.models import QuerySet

from blueprints.models import Run, Step
from engine.ids import check_id
from engine.run.states import RunStatus


def run_get(run_id: str) -> Run:
    """Returns a run with its task.

    Raises ValueError for what is no run id and Run.DoesNotExist for an unknown one.
    """
    return Run.objects.select_related("task").get(pk=check_id("R", run_id))


def run_list(*, status: str | None = None) -> QuerySet[Run]:
    """Returns the runs, newest first, without their large fields.

    Raises ValueError for an unknown status.
    """
    runs = Run.objects.select_related("task").defer("program", "ctx", "result")
    if status is None:
        return runs
    return runs.filter(status=RunStatus(status).value)


def run_steps(run_id: str, *, generation: int | None = None) -> QuerySet[Step]:
    """Returns the steps of a run's generation (default: its latest), oldest first."""
    run = run_get(run_id)
    number = run.generation if generation is None else generation
    return run.steps.filter(generation=number).order_by("id")
