"""Read and check the archived journal of runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from blueprints.models import DeletedRun, Run, RunEvent
from blueprints.models.events import stored_bytes
from blueprints.selectors.run_generations import run_generations
from engine.run.journal.hashes import (
    BEFORE_FIRST,
    ORDER,
    ArchivedEntry,
    JournalCheck,
    JournalFault,
    microseconds,
)
from engine.store.base import JournalEntry

PAGE: Final = 50
"""Entries that are in memory at once; each may be as large as a Ctx."""
MOST_SHOWN: Final = 100
"""Faults and gaps of one run that a check keeps; it counts all of them."""


def run_entries(
    run: str, generation: int, addrs: Collection[str] | None = None, after: int = 0
) -> Iterator[JournalEntry]:
    """Yield the archived entries of a run in order, as the journal had them.

    With `addrs` only those of the chains, chords and batches with these addresses.
    """
    rows = RunEvent.objects.filter(run_id=run, generation=generation, number__gt=after)
    if addrs is not None:
        rows = rows.filter(addr__in=addrs)
    found = rows.order_by("number").values_list("number", "at", "data")
    for number, at, data in found.iterator(chunk_size=PAGE):
        at_ms = microseconds(at) // 1000
        yield JournalEntry("", run, generation, number, at_ms, stored_bytes(data))


def stored_entries(run: str, generation: int) -> Iterator[ArchivedEntry]:
    """Yield the rows of one generation of a run's journal, in order."""
    rows = RunEvent.objects.filter(run_id=run, generation=generation)
    found = rows.order_by("number").values_list("number", "at", "data", "hash", "addr")
    for number, at, data, digest, addr in found.iterator(chunk_size=PAGE):
        at_us = microseconds(at)
        yield ArchivedEntry(
            number, at_us, stored_bytes(data), stored_bytes(digest), addr
        )


@dataclass(slots=True)
class JournalReport:
    """What a check has found in the journal of one run.

    `faults` and `gaps` have the first MOST_SHOWN; `faulty` counts all faults. A gap is
    recorded, and no fault. `hash` is the stored hash of the last entry.
    """

    run: str
    generations: int = 0
    entries: int = 0
    converted: int = 0
    unreplayable: str = ""
    hash: str = ""
    faulty: int = 0
    faults: list[JournalFault] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "run": self.run,
            "ok": not self.faulty,
            "generations": self.generations,
            "entries": self.entries,
            "converted": self.converted,
            "unreplayable": self.unreplayable,
            "hash": self.hash,
            "faulty": self.faulty,
            "faults": [fault.to_json() for fault in self.faults],
            "gaps": self.gaps,
        }

    def note(self, faults: Iterable[JournalFault]) -> None:
        """Count faults, and keep the first ones."""
        for fault in faults:
            self.faulty += 1
            if len(self.faults) < MOST_SHOWN:
                self.faults.append(fault)

    def close(self, check: JournalCheck) -> None:
        """Add what one generation had."""
        self.generations += 1
        self.entries += check.entries
        self.hash = check.last.hex() if check.entries else ""
        self.gaps += check.gaps[: MOST_SHOWN - len(self.gaps)]


def journal_check(run: Run) -> JournalReport:
    """Check the hashes of a run's archived entries, all generations, oldest first.

    The run's row is that of before the check, so that entries may be added meanwhile.
    """
    report = JournalReport(
        run.pk, converted=run.converted_number, unreplayable=run.unreplayable
    )
    rows = run_generations(run)
    known = [row.generation for row in rows]
    strange = RunEvent.objects.filter(run=run).exclude(generation__in=known)
    for generation in (
        strange.order_by().values_list("generation", flat=True).distinct()
    ):
        text = "the run has no such generation, and entries of it"
        report.note([JournalFault(run.pk, generation, 0, ORDER, text)])
    for row in rows:
        check = JournalCheck(run.pk, row.generation)
        upto = row.journal_number
        last = stored_bytes(row.journal_hash) or BEFORE_FIRST
        for entry in stored_entries(run.pk, row.generation):
            before = check.number
            report.note(check.add(entry))
            if before < upto <= check.number:
                report.note(check.end(upto, last))
        if check.number < upto:
            report.note(check.end(upto, last))
        report.close(check)
    return report


def checkable_runs() -> Iterator[Run]:
    """Yield the runs whose journal is whole, oldest first: none that is being deleted."""
    names = ("generation", "converted_number", "unreplayable")
    runs = Run.objects.only(*names, "journal_number", "journal_hash").order_by("pk")
    deleted = DeletedRun.objects.filter(is_complete=False).values("pk")
    yield from runs.exclude(pk__in=deleted).iterator(chunk_size=PAGE)
