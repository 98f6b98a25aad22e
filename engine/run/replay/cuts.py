"""Where a run begins again: what its journal has after that place is left out.

Left out is what followed from the place: the later transitions of its chain, the chains
inside them, and what came after the joins around it. Lanes beside it stay as they are.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from engine.run.journal.entries import ENDS, Content, Event, pack_entry, read_entry
from engine.store.addresses import (
    chords_around,
    is_chord,
    lane_of,
    lies_on,
    split_chord,
    split_lane,
)
from engine.store.base import JournalEntry

Read: TypeAlias = tuple[JournalEntry, Content]
NEVER: Final = sys.maxsize


@dataclass(frozen=True, slots=True)
class Cut:
    """A place in a run: a chain, and its first transition that is left out."""

    addr: str
    seq: int


class Cuts:
    """Cuts by their addresses, at most one in a chain."""

    def __init__(self, cuts: Iterable[Cut]) -> None:
        """Index the cuts."""
        self._seqs: dict[str, int] = {}
        self._opened: dict[str, int] = {}
        """When each chain opened its first fanout with a cut inside."""
        self._lanes: dict[str, list[int]] = {}
        """The lanes of each chord that are left out as a whole, in order."""
        for cut in cuts:
            self._seqs[cut.addr] = cut.seq
            for parent, opened in map(split_chord, chords_around(cut.addr)):
                self._opened[parent] = min(opened, self._opened.get(parent, NEVER))
            if cut.seq == 0 and chords_around(cut.addr):
                chord, lane = split_lane(cut.addr)
                insort(self._lanes.setdefault(chord, []), lane)

    def leave_out(self, addr: str, seq: int, but: str = "") -> bool:
        """Return whether a transition of a chain, or of a chord, followed from a cut.

        The cut in the chain `but` does not count.
        """
        around = (split_chord(one) for one in lies_on(addr) if is_chord(one))
        return any(
            (at != but and number >= self._seqs.get(at, NEVER))
            or number > self._opened.get(at, NEVER)
            for at, number in ((addr, seq), *around)
        )

    def lanes(self, chord: str, lo: int, hi: int) -> list[int]:
        """Return the lanes `lo` up to but not including `hi` that are left out."""
        found = self._lanes.get(chord, [])
        return found[bisect_left(found, lo) : bisect_left(found, hi)]


def read_all(entries: Iterable[JournalEntry]) -> list[Read]:
    """Return entries with their contents; raise BadEntry for an invalid one."""
    return [(entry, read_entry(entry)) for entry in entries]


def _kind(content: Content) -> str:
    """Return the kind of the first event of an entry, empty if it has none."""
    return str(content.events[0][0]) if content.events else ""


def find_cut(read: Iterable[Read], place: str) -> Cut | None:
    """Return the cut before the first attempt at a step; None if it has none."""
    for _, content in read:
        for event in content.events:
            if len(event) < 2 or event[1] != place:
                continue
            addr = content.chain_at(place)
            if event[0] == "pending":
                starts = _kind(content) == "run_started"
                return Cut(
                    addr,
                    0 if starts else 1 if is_chord(content.addr) else content.seq + 1,
                )
            # A lane of a batch makes its first step before it has a record.
            return Cut(addr, 0 if is_chord(content.addr) else content.seq)
    return None


def kept(read: Iterable[Read], cuts: Sequence[Cut]) -> Iterator[Read]:
    """Yield the entries that no cut leaves out, numbered anew.

    An end of the run from outside is left out, too.
    """
    number, index = 0, Cuts(cuts)
    for entry, content in read:
        if not content.addr and _kind(content) in ENDS:
            continue
        starts = not content.addr or _kind(content) == "run_started"
        if not starts and index.leave_out(content.addr, content.seq):
            continue
        for part in _parts(content, index):
            number += 1
            data = entry.data
            if part is not content:
                data = pack_entry(
                    part.addr,
                    part.seq,
                    part.worker,
                    part.events,
                    part.settled,
                    mark=part.mark,
                    outputs=part.outputs,
                )
            yield replace(entry, number=number, data=data), part


def _parts(content: Content, cuts: Cuts) -> Iterator[Content]:
    """Yield an entry without the lanes of its batch that cuts leave out as a whole."""
    chord, first = content.addr, content.seq
    if _kind(content) == "batch_broken":
        yield _broken(content, cuts)
        return
    after = first + content.settled
    gone = cuts.lanes(chord, first, after + 1)
    if not gone:
        yield content
        return
    for lane in gone if after in gone else [*gone, after]:
        rest = lane == after and after not in gone
        events = _events_of(content, first, after + 1 if rest else lane)
        if lane > first or (rest and events):
            yield content._replace(events=events, seq=first, settled=lane - first)
        first = lane + 1


def _broken(content: Content, cuts: Cuts) -> Content:
    """Return the entry of a broken batch, in which a lane that is left out did not run."""
    [event] = content.events
    if not cuts.lanes(content.addr, event[3], event[3] + 1):
        return content
    return content._replace(events=[[*event[:3], -1]])


def _events_of(content: Content, lo: int, hi: int) -> list[Event]:
    """Return the events of the lanes `lo` up to but not including `hi`."""
    return [event for event in content.events if lo <= lane_of(event[1]) < hi]
