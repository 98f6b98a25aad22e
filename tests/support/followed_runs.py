"""A replay that follows a live run and is compared with the store at any time."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from random_programs import spawners
from simulation_checks import text
from store_boxes import Box, View, audit

from engine.blueprint.program import Program
from engine.output_store import OutputsAway, OutputStore
from engine.run.drive import chords, folding, lanes
from engine.run.journal.entries import read_entry
from engine.run.limits import Limits
from engine.run.replay import Replay, Snapshot
from engine.run.replay.state import Live
from engine.run.states import FINAL_RUN
from engine.store.base import JournalEntry
from engine.store.record import ChainState, Record
from engine.testing import MemoryOutputStore, Simulator

# A claim without an attempt, a release, a due timer and a resume have no entry, and nor has
# a wait for outputs.
ALIKE = {
    ChainState.PENDING: "prhw",
    ChainState.RUNNING: "prshw",
    ChainState.HELD: "hprs",
    ChainState.WAITING: "wprhs",
    ChainState.SIGNALLED: "srhw",
    ChainState.JOINING: "j",
    ChainState.ENDED: "d",
}


_SHA256 = re.compile(r'"sha256":"([0-9a-f]{64})"')
_MARK = re.compile(rb'"m([0-9a-f]{16})"\]\n')


def plain(log: bytes) -> bytes:
    """Return an edit log without the random marks of its joins."""
    for mark in _MARK.findall(log):
        log = log.replace(mark, b"0" * 16)
    return log


def replayed(
    program: Program,
    ctx: Any,
    entries: Iterable[JournalEntry],
    outputs: OutputStore | None = None,
) -> Replay:
    """Return the replay of a run after these entries."""
    made = Replay(program, ctx, outputs=outputs)
    for entry in entries:
        made.apply(entry)
    return made


class FlakyOutputs(MemoryOutputStore):
    """A store that is away now and then, while a fleet is at work."""

    def __init__(self, dice: random.Random) -> None:
        """Ask `dice` before each turn of the fleet."""
        super().__init__()
        self._dice = dice
        self._is_away = False
        self.refused = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be away meanwhile, if the dice says so."""
        self._is_away = self._dice.random() < 0.35
        try:
            yield
        finally:
            self._is_away = False

    def _require(self) -> None:
        if self._is_away:
            self.refused += 1
            raise OutputsAway("the dice says that the outputs are away")


class FollowedRun:
    """Replays the journal of a run while it is written."""

    def __init__(
        self,
        box: Box,
        program: Program,
        ctx: Any,
        limits: Limits,
        run: str = "R-1",
        outputs: OutputStore | None = None,
    ) -> None:
        """Follow a run from its start; large values are read from `outputs`."""
        self._box = box
        self._program = program
        self._outputs = outputs
        self.replay = Replay(program, ctx, limits=limits, outputs=outputs)
        self._run = run
        self._named: set[str] = set()
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
                    self._named |= {ref["sha256"] for ref in read_entry(entry).outputs}
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
        # Retention goes by the journal: it names all to which a log refers.
        logs = [*view.logs.values()]
        for chord in view.chords.values():
            logs += [log or b"" for _, log, _ in chord.settled.values()]
        assert set(_SHA256.findall(b"".join(logs).decode())) <= self._named

    def resume_from_snapshot(self) -> None:
        """Continue from the JSON of a snapshot, as a recovery does."""
        text = self.replay.snapshot().to_json()
        snapshot = Snapshot.from_json(text)
        assert snapshot.to_json() == text
        self.replay = Replay(self._program, snapshot=snapshot, outputs=self._outputs)


def run_and_follow(
    box: Box,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    found: Program,
    ctx: Any,
    **options: Any,
) -> list[JournalEntry]:
    """Drive a run with pauses, and follow it; return its journal."""
    box.empty()
    dice = random.Random(f"replay {seed}")
    monkeypatch.setattr(folding, "FOLD_AT", dice.choice((20, 300, 16 * 1024)))
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    batch = dice.choice((1, 2, 4))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    bounds = options.pop("limits", None) or Limits(steps=dice.choice((0, 2, 100)))
    followed = FollowedRun(box, found, ctx, bounds, outputs=options.get("outputs"))
    simulator = Simulator(
        box.store, options.pop("agents", None) or spawners(), seed=seed, limits=bounds,
        fuel_nodes=dice.choice((1, 4, 20_000)), **options,
    )  # fmt: skip
    simulator.launch(found, ctx)
    outputs = options.get("outputs")
    work = outputs.at_work if isinstance(outputs, FlakyOutputs) else nullcontext
    for _ in range(20_000):
        view = audit(box, "R-1")
        assert view is not None
        followed.check(view)
        if view.status in FINAL_RUN:
            break
        if dice.random() < 0.1:
            box.store.pause("R-1")
        if dice.random() < 0.3:
            box.store.resume("R-1")
        if dice.random() < 0.1:
            followed.resume_from_snapshot()
        with work():
            simulator.turn()
    else:
        raise AssertionError(f"the run of seed {seed} does not end")
    assert text(followed.replay.ctx()) == text(simulator.final())
    return simulator.entries()


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
