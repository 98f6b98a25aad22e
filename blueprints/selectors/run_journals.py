"""Read the archived journal of a run, and the snapshots with which generations begin."""

from blueprints.models import Run, RunSnapshot
from blueprints.selectors.journal import run_entries
from engine.run.replay import Snapshot
from engine.store.base import JournalEntry


class JournalGap(Exception):
    """The archived journal of a generation lacks an entry; the text says which."""


def journal_entries(run: Run, generation: int) -> list[JournalEntry]:
    """Return the archived entries of a generation, in order; raise JournalGap."""
    entries: list[JournalEntry] = []
    for number, entry in enumerate(run_entries(run.pk, generation), start=1):
        if entry.number != number:
            raise JournalGap(
                f"the journal of generation {generation} of run {run.pk} lacks entry"
                f" {number}, so the run can't be rebuilt"
            )
        entries.append(entry)
    return entries


def run_snapshot(run: Run, generation: int) -> Snapshot | None:
    """Return the snapshot with which a generation begins; None if it begins anew."""
    found = RunSnapshot.objects.filter(run=run, generation=generation)
    data = found.values_list("data", flat=True).first()
    return None if data is None else Snapshot.from_json(bytes(data))
