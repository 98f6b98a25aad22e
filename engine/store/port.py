"""The port RunStore: the calls of the engine to the store, and what chains are built from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from engine.store.base import (
    BatchClaimed,
    BatchCommit,
    BatchRef,
    ChordSpec,
    Claimed,
    Joined,
    Lease,
    Move,
    Moved,
    Open,
    Postponed,
    Ref,
    Refusal,
    Refused,
    Renewal,
    RunHead,
    Settle,
)
from engine.store.record import Record

ChordResults: TypeAlias = dict[int, tuple[bytes | None, bytes | None]]
"""Settled lanes by their index: the edit log or None, and the failure or None."""


class ChainReads(Protocol):
    """What the chains of a run are built from; a store has it, and so has a snapshot.

    A `key` is that of a generation (`generation_key`).
    """

    def head_of(self, key: str) -> RunHead | None:
        """Return the head of a generation, also if it is not the current one."""

    def base(self, key: str, base_id: str) -> bytes | None:
        """Return a Ctx base or a program of a generation by its hash."""

    def log(self, key: str, addr: str, length: int) -> bytes:
        """Return the first `length` bytes of a chain's edit log."""

    def chord(self, key: str, chord: str) -> ChordSpec | None:
        """Return a chord's constants, also after its join."""

    def decided(self, key: str, chord: str) -> str | None:
        """Return `all` or the index of the deciding lane; None for an open chord."""

    def items(self, key: str, chord: str, page: int) -> bytes:
        """Return one page of a chord's items, a JSON array."""

    def results(self, key: str, chord: str, lo: int, hi: int) -> ChordResults:
        """Return the settled lanes of a chord from `lo` up to but not including `hi`."""


class RunStore(ChainReads, Protocol):
    """The calls of the engine to the store; each is one atomic, idempotent action.

    A `key` is that of a generation (`generation_key`).
    """

    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """Claim a waiting chain; `nonce` owns it until its release or the lease's end.

        A lane without a record gets one (phase ENTER, sequence number 0).
        """

    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """Take the next message and claim its chain; return None if there is none.

        The next message is the oldest of the first queue that is not empty. Up to 8
        messages of chains that can't be claimed are dropped. A message stays in its queue
        if it names a batch or its attempt may take longer than `most_ms`.
        """

    def commit(self, move: Move) -> Moved | Refused:
        """Write one transition of an owned chain."""

    def postpone(self, put: Postponed) -> Moved | Refused:
        """Give back a transition that can't be made now; the chain takes it up later."""

    def open_chord(self, opening: Open) -> Moved | Refused:
        """Write the transition that opens a chord and dispatch its first window.

        Raises StoreFull if the store has no room, as `upload_items` does.
        """

    def upload_items(
        self, key: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """Store the items of a chord that `nonce` opens next, if one call can't carry them."""

    def drop_upload(self, key: str, chord: str, nonce: str) -> None:
        """Delete the items that `nonce` uploaded for a chord that it does not open."""

    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """End an owned lane; if that decides the chord, claim the parent's join."""

    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """Claim the unsettled lanes of a batch."""

    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """Settle lanes of an owned batch and move its cursor."""

    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """Release the lanes from `cursor` on; they are dispatched again as one batch."""

    def break_batch(
        self, batch: BatchRef, nonce: str, lane: int, outcome: bytes
    ) -> Moved | Refused:
        """Give a lane of an owned batch its outcome; dispatch each other lane alone.

        No attempt is charged for the other lanes.
        """

    def renew(self, leases: Sequence[Lease]) -> list[Renewal]:
        """Renew leases and return an answer for each.

        The answer for a chain past its deadline and grace is STALE: the steward is about
        to dispatch it again.
        """

    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """Append the output of a running attempt to the journal if it owns its claim.

        `mark` is distinct for each call under a nonce; the `seq` of a batch is 0.
        """

    def discard(self, ref: Ref, entry: bytes) -> None:
        """Append to the journal of an open run that a result came too late."""

    def finish(self, run: str, gen: int, status: str, why: str) -> str:
        """End an open generation from outside; return `ok`, or its status if it has ended.

        `status` is `cancelled` or `failed`. A generation that does not exist yet gets a
        tombstone, so that it never starts. The answer is `stale` if a later one is open.
        """

    def head(self, run: str) -> RunHead | None:
        """Return the head of a run's current generation; None for an unknown run."""

    def record(self, key: str, addr: str) -> Record | None:
        """Return a chain's record."""
