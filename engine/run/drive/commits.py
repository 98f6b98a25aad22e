"""Commits: one script stores the events of a turn, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from engine.output_store import OutputMissing, OutputsAway
from engine.ports import Watch
from engine.run.attempt.outcomes import Outcome
from engine.run.chain.chain import END
from engine.run.chain.ctx import TooLarge
from engine.run.drive.chords import Waits, lane_decides
from engine.run.drive.folding import fold_outgrown, result_edits
from engine.run.drive.load import Loader, Prepared
from engine.run.drive.turn import Turn, engine_pending
from engine.run.journal.entries import Event, discards, pack_entry
from engine.run.limits import Limits
from engine.store.addresses import split_lane
from engine.store.base import (
    CONTINUE,
    DISPATCH,
    ROOT,
    Joined,
    Move,
    Moved,
    MoveKind,
    Pending,
    Postponed,
    Ref,
    Refused,
    Settle,
)
from engine.store.port import RunStore
from engine.store.record import Record

UNREADABLE: Final = (OutputsAway, OutputMissing)
"""The errors of outputs for which a transition waits: no flow can do anything about them."""


@dataclass(frozen=True, slots=True)
class Commits:
    """Writes the transitions of one worker's chains; `who` names it in the journal."""

    store: RunStore
    loader: Loader
    watch: Watch
    limits: Limits
    who: str
    waits: Waits = field(default_factory=Waits)

    def write(
        self,
        turn: Turn,
        kind: MoveKind,
        pending: Pending,
        *,
        keep_tries: bool = False,
        gives_back: bool = False,
        delay_ms: int = 0,
        status: str = "",
        ending: bytes = b"",
    ) -> bool:
        """Commit the turn; return False if another worker owns it or a pause parks it."""
        if kind is CONTINUE or kind is DISPATCH:
            fold_outgrown(turn)
        chain, entry = turn.chain, b""
        if turn.events or kind is not MoveKind.WAIT or turn.puts:
            entry = turn.entry(self.who)
        move = Move(
            ref=turn.ref,
            seq=turn.seq,
            nonce=turn.nonce,
            kind=kind,
            offset=chain.start,
            edits=bytes(chain.edits),
            pending=pending,
            entry=entry,
            keep_tries=keep_tries,
            gives_back=gives_back,
            delay_ms=delay_ms,
            status=status,
            base=turn.new_base,
            had_signal=turn.had_signal,
            consumed=chain.consumed,
            unreferenced=turn.dropped_chords(),
            ending=ending,
        )
        requested_at = time.monotonic()
        answer = self.store.commit(move)
        if isinstance(answer, Refused):
            self.discard(turn.ref, turn.seq, turn.events, answer)
            return False
        if answer.held:
            return False
        turn.mark_committed(requested_at)
        if kind is CONTINUE:
            self.watch.chain(turn.ref, turn.seq, turn.nonce, pending.timeout_ms)
        return True

    def finish(
        self, turn: Turn, error: list[str] | None, *, is_journaled: bool = False
    ) -> Turn | None:
        """End a chain: the run if it is the root, else its lane.

        With `is_journaled` the journal has it already that the lane has ended.
        """
        turn.chain.phase, turn.chain.end = END, error
        if turn.ref.addr == ROOT:
            pending = engine_pending(turn.chain, "")
            end = ["run_failed", *error] if error else ["run_done"]
            ending = turn.entry(self.who, end)
            status = "failed" if error else "done"
            self.write(turn, MoveKind.END, pending, status=status, ending=ending)
            return None
        if error is not None and not is_journaled:
            turn.events.append(["lane_ended", turn.chain.prefix, error[1]])
        return self._settle(turn, error)

    def _settle(self, turn: Turn, error: list[str] | None) -> Turn | None:
        chain, ref = turn.chain, turn.ref
        chord, _ = split_lane(ref.addr)
        mode = self.loader.spec(ref.key, chord).mode
        try:
            offset, edits = result_edits(chain, error is not None, self.limits)
        except TooLarge:
            return self.finish(turn, self.limits.too_large("the result of a lane is"))
        requested_at = time.monotonic()
        answer = self.store.settle(
            Settle(
                ref=ref,
                seq=turn.seq,
                nonce=turn.nonce,
                offset=offset,
                edits=edits,
                failure=None if error is None else orjson.dumps(error),
                entry=turn.entry(self.who),
                decides=lane_decides(mode, error is not None),
                had_signal=turn.had_signal,
                frames=chain.pack(),
                consumed=chain.consumed,
                unreferenced=turn.unreferenced,
            )
        )
        if isinstance(answer, Refused):
            self.discard(ref, turn.seq, turn.events, answer)
        return self.parent(ref, turn.nonce, turn.prepared, answer, requested_at)

    def discard(self, ref: Ref, seq: int, events: list[Event], answer: Refused) -> None:
        """Write `discarded` events for outcomes that another claim has made void."""
        void = discards(events)
        if void and answer.why in ("stale", "closed"):
            self.store.discard(ref, pack_entry(ref.addr, seq, self.who, void))

    def parent(
        self,
        ref: Ref,
        nonce: str,
        prepared: Prepared,
        answer: Moved | Joined | Refused,
        requested_at: float,
    ) -> Turn | None:
        """Return the parent's turn if the answer gives this worker its pending join."""
        if not isinstance(answer, Joined):
            return None
        # The keeper must not cancel the parent, which continues under the same nonce, with
        # a batch of the decided chord.
        self.watch.batch(None)
        up = Ref(ref.run, ref.gen, answer.parent, ref.line)
        record = answer.record
        self.watch.chain(up, record.seq, nonce, record.timeout_ms)
        return self.claimed(up, nonce, prepared, record, requested_at)

    def claimed(
        self,
        ref: Ref,
        nonce: str,
        prepared: Prepared,
        record: Record,
        requested_at: float,
        log: bytes | None = None,
    ) -> Turn | None:
        """Return the turn of a claimed chain; None if outputs of its Ctx are away."""
        try:
            chain = self.loader.chain(ref, prepared, record, log)
        except UNREADABLE as error:
            self.postpone(ref, record.seq, nonce, error)
            return None
        return Turn.of(ref, nonce, prepared, chain, record, requested_at)

    def postpone(
        self,
        ref: Ref,
        seq: int,
        nonce: str,
        error: Exception,
        outcome: Outcome | None = None,
        events: Sequence[Event] = (),
    ) -> None:
        """Give back a transition that needs outputs which can't be read or written now.

        The outcome of an attempt that was made in it is kept, and its output among the
        `events` is journaled.
        """
        output = [event for event in events if event[0] == "output"]
        entry = pack_entry(ref.addr, seq, self.who, output) if output else b""
        kept = b"" if outcome is None else outcome.pack()
        delay_ms = self.waits.postponed_ms(ref, seq, error)
        self.store.postpone(Postponed(ref, seq, nonce, delay_ms, kept, entry))
        self.watch.no_chain()
