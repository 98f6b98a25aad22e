"""A small model of a run: what each call to the store should change.

It is the oracle of the random walk for the states, logs and signals of open chains and
for the results of chords, after the calls of workers and people. The audit checks where
each chain and lane waits. The store's suite checks the calls of the steward and of
keepers, the marks of batches, the other fields of a record, why a call is refused and
what is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from store_boxes import ChordView, View
from store_calls import RUN

from engine.run.states import FINAL_RUN
from engine.store.addresses import lane_at, split_lane
from engine.store.base import BatchCommit, ChordSpec, Move, MoveKind, Open, Ref, Settle
from engine.store.record import ChainState, Record


def new_lane(spec: ChordSpec) -> Record:
    state = ChainState.PENDING
    return Record(0, "", "", state, 0, 0, 0, 0, 0, "", spec.queue, "", b"c")


def is_step(frames: bytes) -> bool:
    """Return whether a chain waits to run an agent, which counts as a try."""
    return frames.startswith(b"s")


class Model:
    """A run as it was, with methods named as the store's that change it as those should.

    Each returns `ok`, `held` or `join`, or None for a call that should change nothing.
    """

    def __init__(self, view: View) -> None:
        self.run = view.copy()

    def differs(self, view: View) -> list[str]:
        """Return how a view differs from the model."""
        pairs = zip(self.part(view), self.part(self.run), strict=True)
        return [f"{found} is not {want}" for found, want in pairs if found != want]

    def part(self, view: View) -> list[Any]:
        """Return the part of a view that the model predicts: what no decision closed."""
        live = {a: c for a, c in view.chains.items() if not self.run.closed(a)}
        return [
            (view.status, view.number),
            {a: (c.state, c.seq, c.owner, c.last, c.tries, c.lost, c.loglen) for a, c in live.items()},
            {a: (view.logs.get(a), view.signals.get(a)) for a in live},
            {k: (c.spec, c.outstanding, c.why, c.settled)
             for k, c in view.chords.items() if c.spec.parent in live},
        ]  # fmt: skip

    @property
    def paused(self) -> bool:
        return self.run.status == "paused"

    def is_open(self, addr: str) -> bool:
        return self.run.status not in FINAL_RUN and not self.run.closed(addr)

    def change(self, addr: str, **changes: Any) -> None:
        self.run.chains[addr] = replace(self.run.chains[addr], **changes)

    def owned(self, move: Move | Open | Settle) -> Record | None:
        """Return the chain of a transition if its worker still owns it."""
        chain, owner = self.run.chains.get(move.ref.addr), (move.nonce, move.seq)
        if chain is None or chain.state != ChainState.RUNNING:
            return None
        mine = (chain.owner, chain.seq) == owner and move.offset <= chain.loglen
        return chain if mine and self.is_open(move.ref.addr) else None

    def write(self, move: Move | Open | Settle, **changes: Any) -> None:
        """Write what every transition writes, and further changes of the chain."""
        addr, logs = move.ref.addr, self.run.logs
        logs[addr] = logs[addr][: move.offset] + move.edits
        self.run.number += 1
        if move.had_signal:
            self.run.signals.pop(addr, None)
        if joined := self.run.chords.get(move.consumed):
            joined.outstanding = 0
            joined.why = None if joined.why == "all" else joined.why
        self.change(addr, seq=move.seq + 1, loglen=len(logs[addr]), **changes)

    def close(self, k: str, why: str, by: str) -> str:
        """Decide a chord; claim its parent's join, or park it in a paused run."""
        chord = self.run.chords[k]
        parent, chord.why = chord.spec.parent, why
        state = ChainState.HELD if self.paused else ChainState.RUNNING
        owner, last = ("", by) if self.paused else (by, "")
        seq = self.run.chains[parent].seq + 1
        changes = {"state": state, "owner": owner, "last": last}
        self.change(parent, seq=seq, tries=0, lost=0, **changes)
        return "held" if self.paused else "join"

    def claim(self, at: Ref, by: str, queue: str) -> str | None:
        addr, (k, lane) = at.addr, split_lane(at.addr)
        chord, chain = self.run.chords.get(k), self.run.chains.get(addr)
        if chord and lane < chord.spec.size and lane not in chord.settled:
            chain = chain or new_lane(chord.spec)
        if chain is None or chain.queue != queue or not self.is_open(addr):
            return None
        if chain.state not in (ChainState.PENDING, ChainState.SIGNALLED):
            return None
        self.run.chains[addr] = chain
        self.run.logs.setdefault(addr, b"")
        pending = chain.state == ChainState.PENDING
        if self.paused:
            self.change(addr, state=ChainState.HELD if pending else chain.state)
            return "held"
        is_try = pending and is_step(chain.frames)
        self.run.number += is_try
        self.change(
            addr, state=ChainState.RUNNING, owner=by, tries=chain.tries + is_try
        )
        return "ok"

    def claim_next(self, queues: Sequence[str], by: str, most_ms: int) -> str | None:
        for addr, _ in self.run.messages.get(queues[0], ())[:8]:
            # Every attempt of the walk takes more than a second and less than an hour.
            if ":" in addr or most_ms <= 1_000:
                return None
            if self.claim(Ref(RUN, 1, addr), by, queues[0]) == "ok":
                return "ok"
        return None

    def commit(self, move: Move) -> str | None:
        addr, chain = move.ref.addr, self.owned(move)
        if chain is None:
            return None
        kept = move.keep_tries or move.gives_back
        tries, lost = (chain.tries, chain.lost) if kept else (0, 0)
        tries = max(0, tries - move.gives_back)
        self.write(move, tries=tries, lost=lost)
        held = self.paused and move.kind is not MoveKind.WAIT
        if move.kind is MoveKind.CONTINUE and not held:
            self.change(addr, tries=tries + is_step(move.pending.frames))
            return "ok"
        state = ChainState.HELD if held else move.kind
        self.change(addr, owner="", last=move.nonce, state=state)
        if move.kind is MoveKind.END and not held:
            self.run.status = move.status
        return "held" if held else "ok"

    def open_chord(self, opening: Open) -> str | None:
        if self.owned(opening) is None:
            return None
        by, spec = opening.nonce, opening.spec
        self.write(
            opening, state=ChainState.JOINING, owner="", last=by, tries=0, lost=0
        )
        self.run.chords[opening.chord] = ChordView(spec, 0, spec.size, None, {}, {})
        return "ok"

    def settle(self, settling: Settle) -> str | None:
        addr, by, failure = settling.ref.addr, settling.nonce, settling.failure
        if self.owned(settling) is None:
            return None
        self.write(settling)
        if self.paused:
            self.change(addr, state=ChainState.HELD, owner="", last=by)
            return "held"
        del self.run.chains[addr]
        (k, lane), log = split_lane(addr), self.run.logs.pop(addr)
        chord = self.run.chords[k]
        chord.settled[lane] = (by, log if failure is None else None, failure)
        chord.outstanding -= 1
        if chord.outstanding and not settling.decides:
            return "ok"
        alone = settling.decides or chord.spec.mode == "any"
        return self.close(k, str(lane) if alone else "all", by)

    def commit_batch(self, commit: BatchCommit) -> str | None:
        batch, by, promote = commit.batch, commit.nonce, commit.promote
        chord, span = self.run.chords.get(batch.chord), f"{batch.lo}-{batch.hi}"
        if chord is None or not self.is_open(batch.chord + ":"):
            return None
        if chord.marks.get(span) != ("running", by, commit.first):
            return None
        for lane, result in enumerate(commit.results, commit.first):
            log = None if result.failure else result.log
            chord.settled[lane] = (by, log, result.failure)
        chord.outstanding -= len(commit.results)
        self.run.number += 1
        after = commit.first + len(commit.results)
        if promote:
            addr, kind = lane_at(batch.chord, after), promote.kind
            held = self.paused and kind is not MoveKind.WAIT
            self.run.chains[addr] = replace(new_lane(chord.spec), seq=1, last=by)
            self.run.logs[addr] = promote.edits
            self.change(
                addr, state=ChainState.HELD if held else kind, loglen=len(promote.edits)
            )
            if kind is MoveKind.CONTINUE and not held:
                tries = int(is_step(promote.pending.frames))
                self.change(
                    addr, state=ChainState.RUNNING, owner=by, last="", tries=tries
                )
        if chord.outstanding and commit.decided_by < 0:
            return "held" if self.paused else "ok"
        one = commit.decided_by
        return self.close(batch.chord, str(one) if one >= 0 else "all", by)

    def signal(self, at: Ref, seq: int, by: str, outcome: bytes) -> str | None:
        addr, chain = at.addr, self.run.chains.get(at.addr)
        if chain is None or chain.seq != seq or not self.is_open(addr):
            return None
        mine = chain.state == ChainState.RUNNING and by != "" and chain.owner == by
        if addr in self.run.signals or not (mine or chain.state == ChainState.WAITING):
            return None
        last = "" if mine else chain.last
        self.change(addr, state=ChainState.SIGNALLED, owner="", last=last)
        self.run.signals[addr] = outcome
        return "ok"

    def button(self, status: str) -> str:
        """Pause (`paused`), resume (`running`) or end the run (any other status)."""
        before = self.run.status
        if before in FINAL_RUN:
            return "ok" if status == before else before
        self.run.number += status != before
        self.run.status = status
        for addr, chain in list(self.run.chains.items()):
            if status == "running" and chain.state == ChainState.HELD:
                self.change(addr, state=ChainState.PENDING)
        return "ok"
