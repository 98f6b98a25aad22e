"""The state of a run during its replay: what the scripts of the store would have written.

The chains are held in memory as a worker holds them, and their edit logs grow beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from engine.run.chain.chain import Chain
from engine.run.chain.outputs import NO_CONTENTS, Outputs
from engine.run.drive.chords import lane_decides
from engine.run.drive.joins import Joins
from engine.run.drive.load import ChainReader, Origin, Prepared, lane_chain
from engine.run.drive.turn import Turn
from engine.run.replay.snapshot import ChainSnapshot, ChordSnapshot, Snapshot
from engine.run.states import RunStatus
from engine.store.addresses import chords_around, lane_at, split_lane
from engine.store.base import (
    ENGINE_QUEUE,
    ITEM_PAGE,
    ROOT,
    ChordSpec,
    LaneResult,
    Pending,
    Ref,
)
from engine.store.record import ChainState

NONCE: Final = ""
"""The nonce of every turn: a replay claims nothing."""


@dataclass(slots=True)
class Live:
    """A chain with the fields of its record; `turn` has its Ctx and its counters."""

    turn: Turn
    pending: Pending
    state: ChainState = ChainState.PENDING
    base_id: str = ""
    log: bytearray = field(default_factory=bytearray)
    signal: bytes = b""
    due_ms: int = 0

    @property
    def chain(self) -> Chain:
        """The chain itself."""
        return self.turn.chain

    def take_signal(self, signal: Mapping[str, Any]) -> None:
        """Give the chain an outcome from outside; an empty one is not in the journal."""
        self.state = ChainState.SIGNALLED
        if signal:
            self.signal = orjson.dumps(signal)
            self.pending = replace(self.pending, queue=ENGINE_QUEUE)

    def snapshot(self) -> ChainSnapshot:
        """Return the chain as plain data."""
        turn, to = self.turn, self.pending
        return ChainSnapshot(
            addr=turn.ref.addr,
            seq=turn.seq,
            state=self.state,
            tries=turn.tries,
            lost=turn.lost,
            place=to.place,
            queue=to.queue,
            timeout_ms=to.timeout_ms,
            frames=to.frames,
            base_id=self.base_id,
            log=bytes(self.log),
            signal=self.signal,
            due_ms=self.due_ms if self.state is ChainState.WAITING else 0,
        )


class State:
    """The chains and chords of one generation of a run.

    `kept` has the rest; its own chains are those of the last snapshot.
    """

    def __init__(
        self, prepared: Prepared, kept: Snapshot, outputs: Outputs | None = None
    ) -> None:
        """Start from a snapshot, which the replay changes."""
        self.outputs = outputs
        self.prepared = prepared
        self.kept = kept
        self.chains: dict[str, Live] = {}
        key, contents = self._ref(ROOT).key, outputs or NO_CONTENTS
        self.joins = Joins(kept, key, prepared.layout, None, contents)
        self._origins: dict[str, Origin] = {}
        self._below: defaultdict[str, set[str]] = defaultdict(set)
        """The chords of each chain and the lanes of each chord that may have some."""
        self._reader = reader = ChainReader(kept, outputs=outputs)
        for addr, one in kept.chains.items():
            self._restore(reader, one)
            self._link(addr)
        for addr, chord in kept.chords.items():
            self._link(addr)
            if not chord.decided:
                parent = self._ref(chord.spec.parent)
                self._origins[addr] = reader.lane_origin(
                    prepared, parent, addr, chord.spec
                )

    def _restore(self, reader: ChainReader, one: ChainSnapshot) -> None:
        ref, record = self._ref(one.addr), one.record()
        chain = reader.chain(ref, self.prepared, record)
        turn = Turn.of(ref, NONCE, self.prepared, chain, record, 0.0)
        self.chains[one.addr] = Live(
            turn,
            Pending(one.frames, one.queue, one.place, one.timeout_ms),
            one.state,
            one.base_id,
            bytearray(one.log),
            one.signal,
            one.due_ms,
        )

    def _link(self, addr: str) -> None:
        """Note an address below those around it."""
        while (above := addr.rpartition(".")[0]) and addr not in self._below[above]:
            self._below[above].add(addr)
            addr = above

    def _ref(self, addr: str) -> Ref:
        return Ref(self.kept.run, self.kept.gen, addr)

    @property
    def paused(self) -> bool:
        """Whether the run is paused."""
        return self.kept.status == RunStatus.PAUSED

    def snapshot(self) -> Snapshot:
        """Return all of it as plain data, which later entries leave alone."""
        self.kept.chains = {a: one.snapshot() for a, one in self.chains.items()}
        return self.kept.copy()

    def add(self, addr: str, chain: Chain, pending: Pending) -> Live:
        """Add a chain that has made no transition."""
        turn = Turn(self._ref(addr), NONCE, self.prepared, chain, 0, 0.0)
        self.chains[addr] = live = Live(turn, pending)
        self._link(addr)
        return live

    def set_base(self, live: Live, name: str, base: bytes) -> None:
        """Give a chain a new base in place of its own one."""
        self.kept.bases.pop(live.base_id, None)
        self.kept.bases[name] = base
        live.base_id = live.turn.base_id = name

    def find(self, addr: str) -> Live | None:
        """Return a chain; a lane without one gets it, as at its first claim."""
        found = self.chains.get(addr)
        if found is not None or not chords_around(addr):
            return found
        chord, lane = split_lane(addr)
        if not self.may_run(chord, lane):
            return None
        spec, chain = self.kept.chords[chord].spec, self.lane_chain(chord, lane)
        pending = Pending(b"c", spec.queue, chain.prefix, spec.timeout_ms)
        return self.add(addr, chain, pending)

    def may_run(self, chord: str, lane: int) -> bool:
        """Return whether a lane of an open chord has not settled and has no chain."""
        kept = self.kept.chords.get(chord)
        return (
            kept is not None
            and not kept.decided
            and 0 <= lane < kept.spec.size
            and lane not in kept.results
            and lane_at(chord, lane) not in self.chains
        )

    def lane_chain(self, chord: str, lane: int) -> Chain:
        """Return a lane of an open chord before its first node."""
        kept = self.kept.chords[chord]
        page = self._reader.items(kept.pages[lane // ITEM_PAGE])
        item, origin = page[lane % ITEM_PAGE], self._origins[chord]
        shelf = self._reader.shelf(self._ref(ROOT).key, lane_at(chord, lane))
        return lane_chain(self.prepared, kept.spec, origin, item, lane, shelf)

    def write(
        self,
        live: Live,
        pending: Pending,
        state: ChainState,
        *,
        tries: int = 0,
        lost: int = 0,
        due_ms: int = 0,
    ) -> None:
        """Write a transition of a chain."""
        turn, chain = live.turn, live.chain
        del live.log[chain.start :]
        live.log += chain.edits
        if turn.new_base is not None:
            self.set_base(live, *turn.new_base)
        self._drop_joins(chain.consumed, turn.dropped_chords())
        live.pending, live.state, live.signal, live.due_ms = pending, state, b"", due_ms
        turn.tries, turn.lost = tries, lost
        turn.mark_committed(0.0)

    def open(
        self, live: Live, chord: str, spec: ChordSpec, pages: Sequence[bytes]
    ) -> None:
        """Open a chord, once `write` has written the transition of its parent."""
        self.kept.chords[chord] = ChordSnapshot(spec, tuple(pages))
        self._origins[chord] = Origin.of(live.chain)
        self._link(chord)

    def settle_chain(
        self, live: Live, offset: int, edits: bytes, failure: bytes | None
    ) -> None:
        """End a lane that has a chain: its edit log becomes its result."""
        addr, turn = live.turn.ref.addr, live.turn
        chord, lane = split_lane(addr)
        self._drop_joins(live.chain.consumed, turn.unreferenced)
        self._drop_chain(addr)
        log = b"" if failure is not None else bytes(live.log[:offset]) + edits
        self.settle(chord, lane, LaneResult(log, failure))

    def settle(self, chord: str, lane: int, result: LaneResult) -> None:
        """Note the result of a lane, and close its chord if that decides it."""
        kept, addr = self.kept.chords[chord], lane_at(chord, lane)
        kept.results[lane] = result
        failed = result.failure is not None
        if failed:
            self._drop_below(addr)
        if lane_decides(kept.spec.mode, failed):
            self._close(chord, str(lane))
        elif len(kept.results) == kept.spec.size:
            # The last failure of an `any` is the one that its join raises.
            self._close(chord, str(lane) if kept.spec.mode == "any" else "all")

    def _close(self, chord: str, why: str) -> None:
        kept = self.kept.chords[chord]
        kept.decided = why
        self._origins.pop(chord, None)
        for addr in list(self._below[chord]):
            if addr in self.chains:
                self._drop_chain(addr)
                self._drop_below(addr)
        parent = self.chains[kept.spec.parent]
        parent.turn.seq += 1
        parent.turn.tries = parent.turn.lost = 0
        parent.state = ChainState.HELD if self.paused else ChainState.RUNNING

    def _drop_joins(self, consumed: str, unreferenced: Sequence[str]) -> None:
        """Drop what no later transition reads, as `forget_joins` of the scripts does."""
        if (kept := self.kept.chords.get(consumed)) is not None:
            kept.consumed = True
            if kept.decided != "all":
                winner = lane_at(consumed, int(kept.decided))
                for addr in self._below[consumed] - {winner}:
                    self._drop_below(addr)
        for chord in unreferenced:
            self.kept.chords.pop(chord, None)
            self._origins.pop(chord, None)
            self._drop_below(chord)

    def _drop_chain(self, addr: str) -> None:
        live = self.chains.pop(addr)
        self.kept.bases.pop(live.base_id, None)

    def _drop_below(self, addr: str) -> None:
        """Drop the chains and chords inside a chain or a chord."""
        for inner in self._below.pop(addr, ()):
            if inner in self.chains:
                self._drop_chain(inner)
            self.kept.chords.pop(inner, None)
            self._origins.pop(inner, None)
            self._drop_below(inner)
