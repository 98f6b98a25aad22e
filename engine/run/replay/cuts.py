"""Where a run begins again: what its journal has after that place is left out.

Left out is what followed from the place: the later transitions of its chain, the chains
inside them, and what came after the joins around it. Lanes beside it stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from engine.run.journal.entries import Content, Event, pack_entry, read_entry
from engine.run.journal.projection import END_EVENTS
from engine.run.replay.tape import OUTCOMES
from engine.store.addresses import chords_around, lane_at, split_lane
from engine.store.base import ROOT, JournalEntry

FAILURES: Final = OUTCOMES - {"passed"}
_LANE: Final = re.compile(r"/lane\[(\d+)\]")
Read: TypeAlias = tuple[JournalEntry, Content]


@dataclass(frozen=True, slots=True)
class Cut:
    """A place in a run: a chain, and its first transition that is left out."""

    addr: str
    seq: int


def read_all(entries: Iterable[JournalEntry]) -> list[Read]:
    """Return entries with their contents; raise BadEntry for an invalid one."""
    return [(entry, read_entry(entry)) for entry in entries]


def _kind(content: Content) -> str:
    """Return the kind of the first event of an entry, empty if it has none."""
    return str(content.events[0][0]) if content.events else ""


def lane_of(chord: str, place: str) -> int:
    """Return the lane of a chord in which a place is."""
    return int(_LANE.findall(place)[chord.count(".k") - 1])


def is_chord(addr: str) -> bool:
    """Return whether an address is that of a chord, as entries of batches have it."""
    return addr.rpartition(".")[2].startswith("k")


def chain_of(content: Content, place: str) -> str:
    """Return the address of the chain at a place, from an entry with an event there."""
    addr = content.addr
    return lane_at(addr, lane_of(addr, place)) if is_chord(addr) else addr


def find_cut(read: Iterable[Read], place: str) -> Cut | None:
    """Return the cut before the first attempt at a step; None if it has none."""
    for _, content in read:
        for event in content.events:
            if len(event) < 2 or event[1] != place:
                continue
            addr = chain_of(content, place)
            if event[0] == "pending":
                starts = _kind(content) == "run_started"
                return Cut(
                    addr,
                    0 if starts else 1 if is_chord(content.addr) else content.seq + 1,
                )
            # A lane of a batch makes its first step before it has a record.
            return Cut(addr, 0 if is_chord(content.addr) else content.seq)
    return None


def failed_cuts(read: Iterable[Read]) -> list[Cut]:
    """Return the cuts before what ended a lane or the run with an error.

    A failure that the flow caught is not among them, nor one in a lane that lost a fanout
    to another lane.
    """
    found = _Failures()
    for _, content in read:
        for event in content.events:
            found.note(content, event)
    return found.that_count()


class _Failures:
    """Collects the failures of chains, and which lanes have decided their chords."""

    def __init__(self) -> None:
        self._last: dict[str, Cut | None] = {}
        """The last failure of each chain; None if that is the one of a join."""
        self._opened: dict[str, str] = {}
        self._decided: dict[str, int] = {}
        self._cuts: dict[str, Cut] = {}

    def note(self, content: Content, event: Event) -> None:
        """Note an event of an entry."""
        kind = event[0]
        if kind == "opened":
            self._opened[content.addr] = f"{content.addr}.k{content.seq}"
        elif kind == "joined":
            self._decided[self._opened[content.addr]] = event[2]
            self._last[content.addr] = None
        elif kind in FAILURES or kind in ("passed", "pending", "lane_ended"):
            addr = chain_of(content, event[1])
            here = Cut(addr, 0 if is_chord(content.addr) else content.seq)
            if kind in FAILURES:
                self._last[addr] = here
            elif kind == "lane_ended":
                self._end(addr, here)
            else:
                # What failed before that was caught.
                self._last.pop(addr, None)
        elif kind == "run_failed" and content.addr == ROOT:
            self._end(ROOT, Cut(ROOT, content.seq))

    def _end(self, addr: str, here: Cut) -> None:
        if (cut := self._last.get(addr, here)) is not None:
            self._cuts[addr] = cut

    def that_count(self) -> list[Cut]:
        """Return the cuts in chains that go on when they run again."""
        cuts = dict(self._cuts)
        while gone := [addr for addr in cuts if self._has_lost(addr, cuts)]:
            for addr in gone:
                del cuts[addr]
        every = cuts.values()
        return [
            cut
            for cut in every
            if not any(one != cut and follows(cut.addr, cut.seq, one) for one in every)
        ]

    def _has_lost(self, addr: str, cuts: Iterable[str]) -> bool:
        """Return whether another lane, which does not run again, has decided."""
        for chord in chords_around(addr):
            winner = lane_at(chord, self._decided.get(chord, -1))
            inside = (winner, f"{winner}.")
            if self._decided.get(chord, -1) >= 0 and not any(
                one == inside[0] or one.startswith(inside[1])
                for one in (addr, *cuts)
                if one == addr or one.startswith(f"{chord}.")
            ):
                return True
        return False


def kept(read: Iterable[Read], cuts: Sequence[Cut]) -> Iterator[JournalEntry]:
    """Yield the entries that no cut leaves out, numbered anew.

    An end of the run from outside is left out, too.
    """
    number = 0
    for entry, content in read:
        if not content.addr and _kind(content) in END_EVENTS:
            continue
        starts = not content.addr or _kind(content) == "run_started"
        if not starts and any(follows(content.addr, content.seq, c) for c in cuts):
            continue
        for part in _parts(content, cuts):
            number += 1
            data = entry.data
            if part is not content:
                data = pack_entry(
                    part.addr, part.seq, part.worker, part.events, part.settled
                )
            yield replace(entry, number=number, data=data)


def follows(addr: str, seq: int, cut: Cut) -> bool:
    """Return whether a transition of a chain, or of a chord, followed from a cut."""
    if addr == cut.addr:
        return seq >= cut.seq
    if addr.startswith(f"{cut.addr}.k"):
        return _opened_at(addr, cut.addr) >= cut.seq
    for chord in chords_around(cut.addr):
        parent, _, opened = chord.rpartition(".k")
        if addr == parent:
            return seq > int(opened)
        if addr == chord or not addr.startswith(f"{parent}.k"):
            return False
        if (other := _opened_at(addr, parent)) != int(opened):
            return other > int(opened)
        inner = lane_at(chord, int(cut.addr[len(chord) + 1 :].partition(".")[0]))
        if addr != inner and not addr.startswith(f"{inner}."):
            return False
    return False


def _opened_at(addr: str, parent: str) -> int:
    """Return the transition of `parent` that opened the chord in which an address is."""
    return int(addr[len(parent) + 2 :].partition(".")[0])


def _parts(content: Content, cuts: Sequence[Cut]) -> Iterator[Content]:
    """Yield an entry without the lanes of its batch that cuts leave out as a whole."""
    gone = sorted(
        {
            split_lane(cut.addr)[1]
            for cut in cuts
            if cut.seq == 0 and cut.addr.rpartition(".")[0] == content.addr
        }
    )
    if not gone or not is_chord(content.addr):
        yield content
        return
    if content.settled < 0:
        yield from _broken(content, gone)
        return
    first, after = content.seq, content.seq + content.settled
    for lane in [*(one for one in gone if first <= one < after), after]:
        rest = lane == after and after not in gone
        events = _events_of(content, first, after + 1 if rest else lane)
        if lane > first or (rest and events):
            yield content._replace(events=events, seq=first, settled=lane - first)
        first = lane + 1


def _broken(content: Content, gone: Sequence[int]) -> Iterator[Content]:
    """Yield the entry of a broken batch, in which a lane that is left out did not run."""
    [event] = content.events
    if event[0] == "batch_broken" and event[3] in gone:
        event = [*event[:3], -1]
    yield content._replace(events=[event])


def _events_of(content: Content, lo: int, hi: int) -> list[Event]:
    """Return the events of the lanes `lo` up to but not including `hi`."""
    return [
        event for event in content.events if lo <= lane_of(content.addr, event[1]) < hi
    ]
