"""Read runs and their steps from the database; Redis may be ahead for a live run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Count, QuerySet

from blueprints.loaders.origin import source_line
from blueprints.models import Attempt, DeletedRun, Run, Step
from blueprints.models.readable_json import Unreadable
from blueprints.selectors.outputs import StepOutputs, run_ctx_output, step_outputs
from blueprints.selectors.steps import run_names, seconds_of
from engine.ids import check_id
from engine.run.place_names import PlaceNames
from engine.run.states import FINAL_RUN

MOST_FOUND = 5


def run_get(run_id: str) -> Run:
    """Return a run with its task.

    Raise ValueError for a malformed id and Run.DoesNotExist for an unknown one.
    """
    return Run.objects.select_related("task", "program").get(pk=check_id("R", run_id))


def run_find(text: str) -> Run:
    """Return a run by its id, the unique beginning of its id, or the word `latest`.

    Raise ValueError if the text names no run, or several.
    """
    runs = Run.objects.select_related("task", "program").order_by("-created_at", "-id")
    if text == "latest":
        if (newest := runs.first()) is None:
            raise ValueError("there are no runs yet")
        return newest
    prefix = text if text.startswith("R-") else f"R-{text}"
    found = list(runs.filter(pk__startswith=prefix)[:MOST_FOUND])
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(run.pk for run in found)
        raise ValueError(f"several runs begin with {prefix}: {ids}")
    if "-" in text and not text.startswith("R-"):
        # An id of something else is named as such.
        check_id("R", text)
    for gone in DeletedRun.objects.filter(pk__startswith=prefix)[:1]:
        raise ValueError(
            f"run {gone.pk} was deleted on {gone.deleted_at:%Y-%m-%d} ({gone.deleted_by})"
        )
    raise ValueError(f"no run begins with {prefix} in this database")


def run_list() -> QuerySet[Run]:
    """Return the runs, newest first, without their large fields."""
    return Run.objects.select_related("task").defer("ctx", "result")


def run_step_counts(runs: Iterable[Run]) -> dict[str, int]:
    """Return the number of steps of each run's generation, in one query."""
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
    """Return a run's final Ctx and error; the error explains an unreadable Ctx."""
    if isinstance(run.result, Unreadable):
        text = f"the final Ctx is {run.result}"
        return None, run.error or {"kind": "ResultUnreadable", "text": text}
    return run.result, run.error


def run_error(run: Run, names: PlaceNames) -> dict[str, Any] | None:
    """Return a run's error with the name of its place, and its line in `source`.

    Without `source` no file of the Blueprint is known.
    """
    error = run_end(run)[1]
    if not error or "place" not in error:
        return error
    error = {**error, "name": names.name(error["place"])}
    if line := source_line(run.task.origin, error["place"]):
        error["source"] = line.to_json()
    return error


def run_usage(run: Run) -> dict[str, int]:
    """Return the summed usage of all attempts of a run's generation, by name."""
    tries = Attempt.objects.filter(step__run=run, step__generation=run.generation)
    total: Counter[str] = Counter()
    for stats in tries.exclude(stats=None).values_list("stats", flat=True):
        usage = stats.get("usage")
        if isinstance(usage, Mapping):
            total.update({k: n for k, n in usage.items() if isinstance(n, int)})
    return dict(total)


def run_steps(run: Run) -> QuerySet[Step]:
    """Return the steps of a run's generation, oldest first."""
    return Step.objects.filter(run=run, generation=run.generation).order_by("id")


def _ctx_output(run: Run) -> dict[str, Any] | None:
    if run.status not in FINAL_RUN or run.result is not None:
        return None
    found = run_ctx_output(run)
    return None if found is None else dict(found.event["content"])


def run_report(run: Run) -> dict[str, Any]:
    """Return status, result and steps of a run as one JSON object.

    The place of its error has a name, and a `source` if the Blueprint was a file. A step's
    `seconds` are from its first start to its end, None before its end; `error` is that of
    its last attempt; `stage` and `note` are its latest progress, empty before the first;
    `parts` are ContentRefs by name and `final_by` is the writer of the last final, both of
    its last attempt. A final Ctx that is too large for its row is the output `ctx_output`,
    with id, size, sha256 and preview; then `ctx` is None. `usage` is the sum that all attempts reported. `unreplayable` is why
    the journal can't be replayed, empty if it can.
    """
    outputs, none, names = step_outputs(run), StepOutputs(), run_names(run)
    tries = Attempt.objects.filter(step__run=run, step__generation=run.generation)
    # By number, so that the last attempt's error is the one that stays.
    errors = dict(tries.order_by("number").values_list("step_id", "error"))
    return {
        "run": run.pk,
        "blueprint": run.task.blueprint_id,
        "seconds": seconds_of(run),
        "status": run.status,
        "ctx": run_end(run)[0],
        "ctx_output": _ctx_output(run),
        "error": run_error(run, names),
        "usage": run_usage(run),
        "unreplayable": run.unreplayable,
        "steps": [
            {
                "name": names.name(step.place),
                "place": step.place,
                "agent": step.agent,
                "kind": step.kind,
                "status": step.status,
                "attempts": step.attempts,
                "started_at": step.started_at and step.started_at.isoformat(),
                "seconds": seconds_of(step),
                "error": errors.get(step.pk, ""),
                "stage": output.stage,
                "note": output.note,
                "parts": output.parts,
                "final_by": output.final["by"] if output.final else "",
            }
            for step in run_steps(run)
            for output in (outputs.get(step.place, none),)
        ],
    }
