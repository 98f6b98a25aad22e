"""Read the generations of runs: the newest is in the run's row, the others have their own."""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from django.db.models import QuerySet

from blueprints.models import Run, RunGeneration
from blueprints.models.runs import GenerationColumns

COLUMNS: Final = [field.attname for field in GenerationColumns._meta.local_fields]
"""The columns of one generation."""
GenerationKey: TypeAlias = tuple[str, int]
"""The id of a run and the number of a generation."""


class GenerationRow(NamedTuple):
    """The table of a generation's row, and the row's primary key there."""

    model: type[Run] | type[RunGeneration]
    pk: Any


def run_generations(run: Run) -> list[Run | RunGeneration]:
    """Return the rows of a run's generations, oldest first, without large fields."""
    earlier = run.generations.defer("ctx", "result").order_by("generation")
    return [*earlier, run]


def run_at(run_id: str, generation: int) -> Run | None:
    """Return a run as it was in a generation, None if it is not there any more.

    It is for reading: to save it would change the newest generation.
    """
    run = Run.objects.select_related("task", "program").filter(pk=run_id).first()
    if run is None or run.generation == generation:
        return run
    row = RunGeneration.objects.select_related("program")
    found = row.filter(run=run, generation=generation).first()
    if found is None:
        return None
    for name in COLUMNS:
        setattr(run, name, getattr(found, name))
    run.program = found.program
    return run


def generation_rows(
    keys: Collection[GenerationKey], *columns: str, runs: QuerySet[Run] | None = None
) -> Iterator[tuple[GenerationKey, GenerationRow, tuple[Any, ...]]]:
    """Yield key, row and columns of generations.

    `runs` may be a query that locks the rows of the runs.
    """
    left = set(keys)
    names = {run for run, _ in left}
    found = (Run.objects if runs is None else runs).filter(pk__in=names).order_by("pk")
    for pk, number, *values in found.values_list("pk", "generation", *columns):
        if (pk, number) in left:
            left.discard((pk, number))
            yield (pk, number), GenerationRow(Run, pk), tuple(values)
    if not left:
        return
    earlier = RunGeneration.objects.filter(run_id__in={run for run, _ in left})
    for pk, run, number, *values in earlier.values_list(
        "pk", "run_id", "generation", *columns
    ):
        if (run, number) in left:
            yield (run, number), GenerationRow(RunGeneration, pk), tuple(values)
