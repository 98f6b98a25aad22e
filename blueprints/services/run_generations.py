"""Write the generations of runs."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from blueprints.models import Run, RunGeneration
from blueprints.models.runs import GenerationColumns
from engine.run.states import FINAL_RUN, RunStatus

OVER: Final = FINAL_RUN | {RunStatus.INTERRUPTED}
"""The statuses of a generation after which the next may be opened."""
COLUMNS: Final = [field.attname for field in GenerationColumns._meta.local_fields]


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
