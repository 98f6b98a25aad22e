"""Reads runs and their steps from the database; a live run may be further on."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Count, QuerySet

from blueprints.models import Attempt, Run, Step
from blueprints.models.readable_json import Unreadable
from blueprints.selectors.outputs import StepSaid, steps_said
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


def run_step_counts(runs: Iterable[Run]) -> dict[str, int]:
    """Returns how many steps the generation of each run has, in one query."""
    generations = {run.pk: run.generation for run in runs}
    counted = (
        Step.objects.filter(run_id__in=generations)
        .order_by()
        .values_list("run_id", "generation")
        .annotate(Count("id"))
    )
    counts = dict.fromkeys(generations, 0)
    for run_id, generation, count in counted:
        if generation == generations[run_id]:
            counts[run_id] = count
    return counts


def run_end(run: Run) -> tuple[Any, dict[str, Any] | None]:
    """Returns a run's final Ctx and error; of a Ctx that can't be read it tells why."""
    if isinstance(run.result, Unreadable):
        text = f"the final Ctx is {run.result}"
        return None, run.error or {"kind": "ResultUnreadable", "text": text}
    return run.result, run.error


def run_usage(run: Run) -> dict[str, int]:
    """Returns what all attempts of a run's generation used, failed ones too, by name."""
    tries = Attempt.objects.filter(step__run=run, step__generation=run.generation)
    total: Counter[str] = Counter()
    for stats in tries.exclude(stats=None).values_list("stats", flat=True):
        usage = stats.get("usage")
        if isinstance(usage, Mapping):
            total.update({k: n for k, n in usage.items() if isinstance(n, int)})
    return dict(total)


def run_steps(run_id: str, *, generation: int | None = None) -> QuerySet[Step]:
    """Returns the steps of a run's generation (default: its latest), oldest first."""
    if generation is None:
        generation = run_get(run_id).generation
    return Step.objects.filter(run_id=run_id, generation=generation).order_by("id")


def run_report(run: Run) -> dict[str, Any]:
    """Returns how a run stands, as one JSON object for programs.

    A step's `seconds` are from its first start to its end, None while it has none;
    `error` is that of its last attempt; `stage` and `note` are its latest progress,
    empty where it told none; `parts` are ContentRefs by name and `final_by` says who
    wrote the last final, both of its last attempt. `usage` is what all attempts used,
    those that failed or were tried again too, as far as their agents told.
    """
    told, none = steps_said(run), StepSaid()
    ctx, error = run_end(run)
    tries = Attempt.objects.filter(step__run=run, step__generation=run.generation)
    # By number, so that the last attempt's error is the one that stays.
    errors = dict(tries.order_by("number").values_list("step_id", "error"))
    return {
        "run": run.pk,
        "status": run.status,
        "ctx": ctx,
        "error": error,
        "usage": run_usage(run),
        "steps": [
            {
                "place": step.place,
                "agent": step.agent,
                "kind": step.kind,
                "status": step.status,
                "attempts": step.attempts,
                "seconds": _seconds(step),
                "error": errors.get(step.pk, ""),
                "stage": said.progress.stage,
                "note": said.progress.note,
                "parts": said.parts,
                "final_by": said.final["by"] if said.final else "",
            }
            for step in run_steps(run.pk, generation=run.generation)
            for said in (told.get(step.place, none),)
        ],
    }


def _seconds(step: Step) -> float | None:
    if step.started_at is None or step.finished_at is None:
        return None
    return round((step.finished_at - step.started_at).total_seconds(), 6)
