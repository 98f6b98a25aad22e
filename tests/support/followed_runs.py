"""A replay that follows a live run and is compared with the store at any time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from store_boxes import Box, View

from engine.blueprint.program import Program
from engine.run.limits import Limits
from engine.run.replay import Replay, Snapshot
from engine.run.replay.state import Live
from engine.run.states import FINAL_RUN
from engine.store.base import JournalEntry
from engine.store.record import ChainState, Record

# A claim without an attempt, a release, a due timer and a resume have no entry.
ALIKE = {
    ChainState.PENDING: "prh",
    ChainState.RUNNING: "prsh",
    ChainState.HELD: "hprs",
    ChainState.WAITING: "wprhs",
    ChainState.SIGNALLED: "srh",
    ChainState.JOINING: "j",
    ChainState.ENDED: "d",
}


_MARK = re.compile(rb'"m([0-9a-f]{16})"\]\n')


def plain(log: bytes) -> bytes:
    """Return an edit log without the random marks of its joins."""
    for mark in _MARK.findall(log):
        log = log.replace(mark, b"0" * 16)
    return log


def replayed(program: Program, ctx: Any, entries: Iterable[JournalEntry]) -> Replay:
    """Return the replay of a run after these entries."""
    made = Replay(program, ctx)
    for entry in entries:
        made.apply(entry)
    return made


class FollowedRun:
    """Replays the journal of a run while it is written."""

    def __init__(
        self, box: Box, program: Program, ctx: Any, limits: Limits, run: str = "R-1"
    ) -> None:
        """Follow a run from its start."""
        self._box = box
        self._program = program
        self.replay = Replay(program, ctx, limits=limits)
        self._run = run
        self._after = "0"
        self.entries = 0

    def check(self, view: View) -> None:
        """Replay what is new, and compare every chain and chord with the store."""
        while entries := self._box.store.journal(self._after, 1000):
            for entry in entries:
                self._after = entry.id
                if entry.run == self._run:
                    self.replay.apply(entry)
                    self.entries += 1
        kept = self.replay.state.kept
        assert (kept.number, kept.status) == (view.number, view.status)
        if view.status in FINAL_RUN:
            return
        for addr, live in self.replay.state.chains.items():
            compare_chain(addr, live, view)
        for addr, record in view.chains.items():
            if addr not in self.replay.state.chains:
                fresh = record.seq == 0 and record.frames == b"c"
                assert fresh or view.closed(addr), f"the replay has no chain {addr}"
        compare_chords(kept, view)

    def resume_from_snapshot(self) -> None:
        """Continue from the JSON of a snapshot, as a recovery does."""
        text = self.replay.snapshot().to_json()
        snapshot = Snapshot.from_json(text)
        assert snapshot.to_json() == text
        self.replay = Replay(self._program, snapshot=snapshot)


def compare_chain(addr: str, live: Live, view: View) -> None:
    """Compare a chain of the replay with the record and the edit log in the store."""
    assert addr in view.chains, f"the store has no chain {addr}"
    one = live.snapshot()
    record, mine = view.chains[addr], one.record()
    assert bool(one.due_ms) == (one.state is ChainState.WAITING), addr
    assert record.state in ALIKE[mine.state], (addr, mine.state, record.state)
    if record.seq > mine.seq and mine.frames[:1] == b"c":
        # It waits for room in a full store, which has no entry.
        return
    left, right = shown(mine), shown(record)
    assert left == right, (addr, left, right)
    assert plain(bytes(live.log)) == plain(view.logs[addr]), addr
    if live.signal:
        assert live.signal == view.signals[addr], addr


def shown(record: Record) -> dict[str, Any]:
    """Return the fields of a record that the journal determines."""
    # Not its queue: a signal and a resume move a chain to that of the engine.
    names = ("seq", "tries", "lost", "loglen", "base_id", "place", "frames")
    return {name: getattr(record, name) for name in names}


def compare_chords(kept: Snapshot, view: View) -> None:
    """Compare the chords of the replay with those of the store."""
    for addr, chord in kept.chords.items():
        assert addr in view.chords, f"the store has no chord {addr}"
        stored = view.chords[addr]
        assert chord.spec == stored.spec, addr
        results = {
            lane: (plain(one.log), one.failure) for lane, one in chord.results.items()
        }
        settled = {
            lane: (plain(log or b""), failure)
            for lane, (_, log, failure) in stored.settled.items()
        }
        assert results == settled, addr
        if not chord.consumed:
            assert (chord.decided or None) == stored.why, addr
