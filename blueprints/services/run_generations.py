"""Write the generations of runs, and runs that are forked from others."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from blueprints.models import Attempt, Run, RunGeneration, RunSnapshot, Step
from blueprints.selectors.run_generations import COLUMNS
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
    run: Run,
    data: bytes,
    origin: Run,
    beginning: Mapping[str, Any],
    places: Collection[str],
) -> None:
    """Keep the snapshot with which the generation of a run's row begins.

    `origin` is the run in the generation from which it begins, and `beginning` the JSON
    object of what it left out of that. The origin's steps at `places` have ended, and are
    shown in this generation, too.
    """
    RunSnapshot.objects.create(
        run=run,
        generation=run.generation,
        data=data,
        origin=origin.pk,
        origin_generation=origin.generation,
        beginning=beginning,
    )
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


def _pages(places: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(places), IN_PAGE):
        yield places[at : at + IN_PAGE]


@transaction.atomic
def run_generation_open(run: Run, reason: str, **columns: Any) -> Run:
    """Open the next generation of a run in the database; return the run's new row.

    The columns of the generation before move to a row of its own. The next one has its
    program, version, Ctx, sources and epoch, unless `columns` has others; it is pending.
    Raise ValueError if the run has not ended or is no longer what `run` shows.
    """
    row = Run.objects.select_for_update().get(pk=run.pk)
    if row.generation != run.generation or row.status not in OVER:
        raise ValueError(
            f"run {run.pk} is {row.status} in generation {row.generation}: only a run that"
            " has ended can begin again"
        )
    kept = {name: getattr(row, name) for name in COLUMNS}
    RunGeneration.objects.create(run=row, **kept)
    fresh: Mapping[str, Any] = {
        "generation": row.generation + 1,
        "status": RunStatus.PENDING,
        "reason": reason,
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
