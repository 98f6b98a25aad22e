"""Read the archived journal of a run, and the snapshots with which generations begin."""

from collections.abc import Generator
from dataclasses import replace

from django.db.models import QuerySet

from blueprints.models import Run, RunSnapshot
from blueprints.selectors.journal import run_entries
from blueprints.selectors.run_generations import run_at
from engine.run.journal.entries import BadEntry
from engine.run.replay import Snapshot
from engine.run.replay.cuts import read_all
from engine.run.replay.lineage import Beginning, Stretch
from engine.store.base import JournalEntry


class JournalGap(Exception):
    """The archived journal of a generation lacks an entry; the text says which."""


def journal_entries(run: Run, generation: int) -> Generator[JournalEntry, None, None]:
    """Yield the archived entries of a generation, in order; raise JournalGap."""
    for number, entry in enumerate(run_entries(run.pk, generation), start=1):
        if entry.number != number:
            raise JournalGap(
                f"the journal of generation {generation} of run {run.pk} lacks entry"
                f" {number}, so the run can't be rebuilt"
            )
        yield entry


def run_snapshot(run: Run, generation: int) -> Snapshot | None:
    """Return the snapshot with which a generation begins; None if it begins anew."""
    found = _snapshots(run, generation).values_list("data", flat=True).first()
    return None if found is None else Snapshot.from_json(bytes(found))


def run_origin(run: Run) -> Run | None:
    """Return the run in the generation of which its own is a part, as `run_at` does.

    None if it began anew, or if that run was deleted.
    """
    found = _snapshots(run, run.generation).exclude(beginning=None)
    origin = found.values_list("origin", "origin_generation").first()
    return None if origin is None else run_at(*origin)


def run_stretches(run: Run) -> tuple[list[Stretch], Run]:
    """Return the generations from which a run has come, oldest first, and the first one.

    The first one began anew, or the journal of the one before is not there any more. Raise
    JournalGap or BadEntry if the run's own can't be replayed.
    """
    first, found = run, [_stretch(run)]
    while (origin := run_origin(first)) is not None:
        try:
            before = _stretch(origin)
        except (JournalGap, BadEntry):
            break
        kept = _snapshots(first, first.generation).values_list("beginning", flat=True)
        found[0] = replace(found[0], beginning=Beginning.from_json(kept[0]))
        found.insert(0, before)
        first = origin
    return found, first


def _stretch(run: Run) -> Stretch:
    """Return a run's generation, as if it had begun with nothing but its snapshot."""
    read = read_all(journal_entries(run, run.generation))
    return Stretch(run.pk, run.generation, read, run_snapshot(run, run.generation))


def _snapshots(run: Run, generation: int) -> QuerySet[RunSnapshot]:
    return RunSnapshot.objects.filter(run_id=run.pk, generation=generation)
