"""The hashes of archived entries: each contains the hash before it, so that they are a series.

Whoever changes an entry has to change the hashes of all that follow, and the last one,
which the run keeps and an export contains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from engine.run.journal.entries import archived_entry, gaps_in

BEFORE_FIRST: Final = bytes(32)
"""What stands for the hash before a generation's first entry."""

CHANGED: Final = "changed"
MISSING: Final = "missing"
ORDER: Final = "order"
COLUMN: Final = "column"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(at: datetime) -> int:
    """Return a time in microseconds since 1970, as it is hashed."""
    return (at - _EPOCH) // _MICROSECOND


def entry_hash(
    before: bytes, run: str, gen: int, number: int, at_us: int, data: bytes
) -> bytes:
    """Return the hash of an entry that follows another one; `at_us` is in microseconds."""
    made = sha256(before)
    made.update(b"%b\n%d\n%d\n%d\n" % (run.encode(), gen, number, at_us))
    made.update(data)
    return made.digest()


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """One entry as it is stored, with its hash; `addr` is what it is indexed by."""

    number: int
    at_us: int
    data: bytes
    hash: bytes
    addr: str | None = None


@dataclass(frozen=True, slots=True)
class JournalFault:
    """What is wrong with an entry: CHANGED, MISSING, ORDER or COLUMN."""

    run: str
    generation: int
    number: int
    kind: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class JournalCheck:
    """Checks the entries of one generation of a run, given one after the other."""

    def __init__(self, run: str, gen: int) -> None:
        """Expect the first entry."""
        self.run, self.gen = run, gen
        self.number = 0
        """The number of the last entry, or the last that a gap names."""
        self.last = BEFORE_FIRST
        """The stored hash of the last entry."""
        self.entries = 0
        self.gaps: list[dict[str, Any]] = []
        self._proven = True
        self._swapped: bytes | None = None
        """The hash before an entry that did not fit: what follows may fit that."""

    def add(self, entry: ArchivedEntry) -> Iterator[JournalFault]:
        """Check the next entry; yield what is wrong."""
        self.entries += 1
        if entry.number <= self.number:
            text = f"it follows entry {self.number}: numbers must rise"
            yield self._fault(entry.number, ORDER, text)
        elif entry.number > self.number + 1:
            first, last = self.number + 1, entry.number - 1
            named = f"entry {first}" if first == last else f"entries {first} to {last}"
            text = f"{named} can't be found, and no gap tells why"
            yield self._fault(first, MISSING, text)
            self._proven = False
        yield from self._check_hash(entry)
        content = archived_entry(entry.data)
        if entry.addr not in (None, content.addr):
            text = "it is indexed by another address than its bytes name"
            yield self._fault(entry.number, COLUMN, text)
        self.number = max(self.number, entry.number)
        for upto, why in gaps_in(content):
            self.gaps.append(
                {"generation": self.gen, "number": entry.number}
                | {"upto": upto, "text": why}
            )
            self.number = max(self.number, upto)

    def _check_hash(self, entry: ArchivedEntry) -> Iterator[JournalFault]:
        before, self.last = self.last, entry.hash
        proven, self._proven = self._proven, True
        swapped, self._swapped = self._swapped, None
        if self._is_hash(entry, before, entry.number):
            return
        number = entry.number
        if swapped is not None and self._is_hash(entry, swapped, number - 1):
            text = f"it is entry {number - 1}: the two stand in the wrong order"
            yield self._fault(number, ORDER, text)
            # The next entry follows the one before this.
            self.last = before
        elif not proven:
            # Its hash can't be made again without those before it, which are faults.
            return
        else:
            text = (
                f"its hash does not follow from its bytes, its time and the hash of entry"
                f" {number - 1}: it or that one is not what was archived"
            )
            yield self._fault(number, CHANGED, text)
            self._swapped, self._proven = before, False

    def _is_hash(self, entry: ArchivedEntry, before: bytes, number: int) -> bool:
        known = self.run, self.gen, number, entry.at_us, entry.data
        return entry_hash(before, *known) == entry.hash

    def end(self, number: int, last: bytes) -> Iterator[JournalFault]:
        """Compare the last entry with the number and the hash that the run keeps."""
        if self.number < number:
            text = f"the last entries, up to {number}, can't be found"
            yield self._fault(self.number + 1, MISSING, text)
        elif self.last != last:
            text = "the run keeps another hash of its last entry"
            yield self._fault(self.number, CHANGED, text)

    def _fault(self, number: int, kind: str, text: str) -> JournalFault:
        return JournalFault(self.run, self.gen, number, kind, text)
