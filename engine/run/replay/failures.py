"""What has failed in a generation of a run: where it begins again to do better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.run.journal.entries import STEP_ENDS, Content, Event
from engine.run.replay.cuts import Cut, Cuts, Read
from engine.run.replay.snapshot import Snapshot
from engine.store.addresses import chord_at, chords_around, is_chord, lane_at, lies_on
from engine.store.base import ROOT

FAILURES: Final = STEP_ENDS - {"passed"}


def failed_cuts(read: Iterable[Read], base: Snapshot | None = None) -> list[Cut]:
    """Return the cuts before what ended a lane or the run with an error.

    The generation began with the snapshot `base`, if it has one. A failure that the flow
    caught is not among them, nor one in a lane that lost a fanout to another lane.
    """
    found = _Failures(base)
    for _, content in read:
        for event in content.events:
            found.note(content, event)
    return found.that_count()


class _Failures:
    """Collects the failures of chains, and which lanes have decided their chords."""

    def __init__(self, base: Snapshot | None) -> None:
        self._last: dict[str, Cut | None] = {}
        """The last failure of each chain; None if that is the one of a lane."""
        self._opened: dict[str, str] = {}
        """The fanout that each chain waits for."""
        self._failed: set[str] = set()
        """The lanes that have ended with an error."""
        for addr, chord in base.chords.items() if base else ():
            if not chord.consumed:
                self._opened[chord.spec.parent] = addr
            self._failed |= {
                lane_at(addr, lane)
                for lane, one in chord.results.items()
                if one.failure
            }
        self._decided: dict[str, int] = {}
        self._cuts: dict[str, Cut] = {}

    def note(self, content: Content, event: Event) -> None:
        """Note an event of an entry."""
        kind = event[0]
        if kind == "opened":
            self._opened[content.addr] = chord_at(content.addr, content.seq)
        elif kind == "joined":
            chord = self._opened[content.addr]
            self._decided[chord] = event[2]
            self._last.pop(content.addr, None)
            if lane_at(chord, event[2]) in self._failed:
                self._last[content.addr] = None
        elif kind in FAILURES or kind in ("passed", "pending", "lane_ended"):
            addr = content.chain_at(event[1])
            here = Cut(addr, 0 if is_chord(content.addr) else content.seq)
            if kind in FAILURES:
                self._last[addr] = here
            elif kind == "lane_ended":
                self._failed.add(addr)
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
        while gone := self._losers(cuts):
            for addr in gone:
                del cuts[addr]
        index = Cuts(cuts.values())
        return [
            cut
            for cut in cuts.values()
            if not index.leave_out(cut.addr, cut.seq, but=cut.addr)
        ]

    def _losers(self, cuts: Iterable[str]) -> list[str]:
        """Return the chains around which a lane has decided that does not run again."""
        again = {one for addr in cuts for one in lies_on(addr)}
        return [
            addr
            for addr in cuts
            if any(
                (lane := self._decided.get(chord, -1)) >= 0
                and lane_at(chord, lane) not in again
                for chord in chords_around(addr)
            )
        ]
