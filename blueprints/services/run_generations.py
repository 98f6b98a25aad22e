"""Write the generations of runs, and runs that are forked from others."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from blueprints.models import (
    Attempt,
    OutputReference,
    Run,
    RunGeneration,
    RunSnapshot,
    Step,
)
from blueprints.selectors.run_generations import COLUMNS
from engine.run.replay import Snapshot
from engine.run.states import FINAL_RUN, RunStatus

OVER: Final = FINAL_RUN | {RunStatus.INTERRUPTED}
"""The statuses of a generation after which the next may be opened."""
IN_PAGE: Final = 500


@transaction.atomic
def run_fork_create(origin: Run, place: str, pk: str, **columns: Any) -> Run:
    """Create a pending run that begins at a place of another run, of the same task."""
    fields = ("program_id", "version_id", "ctx", "sources", "epoch", "deadline_at")
    kept = {name: getattr(origin, name) for name in fields}
    return Run.objects.create(
        id=pk,
        task=origin.task,
        origin=origin,
        origin_place=place,
        **{**kept, **columns},
    )


@transaction.atomic
def run_snapshot_keep(
    run: Run, snapshot: Snapshot, origin: Run, beginning: Mapping[str, Any] | None
) -> None:
    """Keep the snapshot with which the generation of a run's row begins.

    `origin` is the run in the generation from which it begins, and `beginning` the JSON
    object of what it left out of that; None if nothing of that is archived. The run refers
    to every output that the snapshot names.
    """
    RunSnapshot.objects.create(
        run=run,
        generation=run.generation,
        data=snapshot.to_json(),
        origin=origin.pk,
        origin_generation=origin.generation,
        beginning=beginning,
    )
    for some in _pages(sorted(snapshot.outputs())):
        OutputReference.objects.bulk_create(
            (OutputReference(run=run, sha256=sha256) for sha256 in some),
            ignore_conflicts=True,
        )


@transaction.atomic
def run_steps_copy(run: Run, origin: Run, places: Collection[str]) -> None:
    """Show the steps of an origin at places, which have ended, in the one of `run`, too."""
    for some in _pages(sorted(places)):
        ended = Step.objects.filter(
            run=origin, generation=origin.generation, place__in=some
        )
        steps = {step.pk: step for step in ended}
        attempts = list(Attempt.objects.filter(step_id__in=steps))
        for step in steps.values():
            step.pk, step.run, step.generation = None, run, run.generation
        Step.objects.bulk_create(steps.values())
        for attempt in attempts:
            attempt.pk, attempt.step = None, steps[attempt.step_id]
        Attempt.objects.bulk_create(attempts)


def run_steps_move(run: Run) -> None:
    """Move the steps of the generation before to the one that recovers it.

    They are the same steps, with the same ids.
    """
    before = Step.objects.filter(run=run, generation=run.generation - 1)
    before.update(generation=run.generation)


def _pages(texts: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(texts), IN_PAGE):
        yield texts[at : at + IN_PAGE]


class GenerationChanged(ValueError):
    """A run is not in the generation or status any more in which it was read."""


@transaction.atomic
def run_generation_open(
    run: Run, reason: str, over: Collection[str] = OVER, **columns: Any
) -> Run:
    """Open the next generation of a run in the database; return the run's new row.

    The columns of the generation before move to a row of its own. The next one has its
    program, version, Ctx, sources and epoch, unless `columns` has others; it is pending and
    begins a line. Raise GenerationChanged if the status of its row is not in `over`, or
    another generation is open.
    """
    row = Run.objects.select_for_update().get(pk=run.pk)
    if row.generation != run.generation or row.status not in over:
        raise GenerationChanged(
            f"run {run.pk} is {row.status} in generation {row.generation}: only a run that"
            " has ended can begin again"
        )
    kept = {name: getattr(row, name) for name in COLUMNS}
    if row.status not in OVER:
        kept["status"] = RunStatus.INTERRUPTED
    RunGeneration.objects.create(run=row, **kept)
    fresh: Mapping[str, Any] = {
        "generation": row.generation + 1,
        "status": RunStatus.PENDING,
        "reason": reason,
        "line": row.generation + 1,
        "lost_status": "",
        "result": None,
        "error": None,
        "opened_at": timezone.now(),
        "deadline_at": None,
        "started_at": None,
        "finished_at": None,
        "archived_number": 0,
        "journal_number": 0,
        "journal_hash": b"",
        "converted_number": 0,
        "unreplayable": "",
    }
    for name, value in {**fresh, **columns}.items():
        setattr(row, name, value)
    row.save()
    return row
