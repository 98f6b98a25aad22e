"""The claim table: the claims of each child, in memory shared with its main process.

Each child has one slot, guarded by a sequence word that is odd while the child writes:
without it, about a tenth of concurrent reads mix two writes. The main process writes
only the control bytes at the end of a slot and the draining byte of the header.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Generic, TypeVar
from zlib import crc32

import orjson

from engine.ports import Watch
from engine.store.addresses import member_of
from engine.store.base import BatchRef, Lease, Ref
from workers.process.descriptors import has_lost_descriptors

SLOTS: Final = 512
HEADER: Final = 64
SLOT: Final = 2560
ADDR_BYTES: Final = 1000
"""Room for the address of a chain below 127 fanouts of a hundred lanes each."""

_WORD = Struct("<Q")
_PID_AT: Final = _WORD.size
_BODY_AT: Final = 2 * _WORD.size
"""The offset of the claims: JSON that ends with a NUL."""
_CONTROL_AT: Final = SLOT - 16


Owned = TypeVar("Owned", Ref, BatchRef)


@dataclass(frozen=True, slots=True)
class ChildClaim(Generic[Owned]):
    """A chain or a batch that a child owns.

    `number` is the sequence number of the chain, or the lane of the batch that is
    running (-1: none). `started` and `deadline` are seconds of the monotonic clock.
    """

    ref: Owned
    nonce: str
    number: int
    started: float
    deadline: float

    @property
    def lease(self) -> Lease:
        """Return the lease that the keeper renews."""
        return Lease(self.ref.key, member_of(self.ref), self.nonce)

    @property
    def mark(self) -> bytes:
        """Return the mark that cancels this claim."""
        return claim_mark(self.nonce, self.ref)


@dataclass(frozen=True, slots=True)
class ChildClaims:
    """The claims in one slot; `word` is its sequence word, which each write raises."""

    slot: int
    pid: int
    word: int
    chain: ChildClaim[Ref] | None
    batch: ChildClaim[BatchRef] | None

    @property
    def claims(self) -> list[ChildClaim[Ref] | ChildClaim[BatchRef]]:
        """Return the claims of the child."""
        return [claim for claim in (self.chain, self.batch) if claim is not None]

    @property
    def deadline(self) -> float:
        """Return the deadline of the running attempt; infinity if none is running."""
        if self.chain is not None:
            return self.chain.deadline
        if self.batch is not None and self.batch.number >= 0:
            return self.batch.deadline
        return float("inf")

    def __str__(self) -> str:
        """Return the runs of the claims, for messages."""
        return ", ".join(sorted({claim.ref.run for claim in self.claims}))


class ClaimTable:
    """An anonymous shared mapping, made before the fork and inherited by children."""

    def __init__(self) -> None:
        """Map an empty table."""
        self.map = mmap.mmap(-1, HEADER + SLOTS * SLOT)
        self._forgotten: dict[int, int] = {}

    def drain(self) -> None:
        """Ask every child to give work back; a memory write only, safe in a handler."""
        self.map[0] = 1

    @property
    def draining(self) -> bool:
        """Return whether children are asked to give work back."""
        return self.map[0] == 1

    def read(self, slot: int) -> ChildClaims | None:
        """Return the claims in a slot; None if it has none or is being written."""
        at = HEADER + slot * SLOT
        for _ in range(20):
            (before,) = _WORD.unpack_from(self.map, at)
            (pid,) = _WORD.unpack_from(self.map, at + _PID_AT)
            body = self.map[at + _BODY_AT : at + _CONTROL_AT].partition(b"\0")[0]
            (after,) = _WORD.unpack_from(self.map, at)
            if before == after and before % 2 == 0:
                if not body or self._forgotten.get(slot) == before:
                    return None
                chain, batch = orjson.loads(body)
                return ChildClaims(
                    slot,
                    pid,
                    before,
                    ChildClaim(Ref(*chain[:3]), *chain[3:]) if chain else None,
                    ChildClaim(BatchRef(*batch[:5]), *batch[5:]) if batch else None,
                )
        return None

    def forget(self, child: ChildClaims) -> None:
        """Ignore the claims of a dead child from now on.

        The slot itself stays as it is: a successor may be writing to it already. The
        successor continues from its predecessor's word, so its claims differ from these.
        """
        self._forgotten[child.slot] = child.word

    def cancel(self, slot: int, mark: bytes) -> None:
        """Cancel the claim of this mark in a slot."""
        at = HEADER + slot * SLOT + _CONTROL_AT
        self.map[at : at + 16] = mark


def claim_mark(nonce: str, ref: Ref | BatchRef) -> bytes:
    """Return 16 bytes that identify a claim: its nonce and the address of its chain.

    The nonce alone is not enough: the parent that continues after a chord has the nonce
    of the lane that decided the chord, and is not cancelled with that lane.
    """
    address = ref.addr if isinstance(ref, Ref) else ref.chord
    return nonce.encode().ljust(12) + crc32(address.encode()).to_bytes(4)


class SlotWatch(Watch):
    """The engine's Watch of one child: writes the child's slot of the claim table."""

    _chain: tuple[Any, ...]
    _batch: tuple[Any, ...]
    _owned: tuple[Any, ...]
    """The batch, without its lane."""
    _marked: tuple[str, str]
    """The nonce and the address of which `_chain_mark` is the mark."""

    def __init__(self, table: ClaimTable, slot: int) -> None:
        """Write to `slot`, which no other live process uses."""
        self._map = table.map
        self._at = HEADER + slot * SLOT
        # The word is odd if a predecessor was killed while it wrote.
        self._word = (_WORD.unpack_from(self._map, self._at)[0] + 1) & ~1
        _WORD.pack_into(self._map, self._at, self._word + 1)
        _WORD.pack_into(self._map, self._at + _PID_AT, os.getpid())
        self.clear()

    def _write(self) -> None:
        body = b"\0"
        if self._chain or self._batch:
            body = orjson.dumps((self._chain, self._batch)) + body
        at = self._at
        self._word += 2
        _WORD.pack_into(self._map, at, self._word - 1)
        self._map[at + _BODY_AT : at + _BODY_AT + len(body)] = body
        _WORD.pack_into(self._map, at, self._word)

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show a chain whose attempt or transition starts now."""
        if len(ref.addr) > ADDR_BYTES:
            # A shortened address would be that of another chain.
            self.no_chain()
            return
        now = time.monotonic()
        # A chain keeps its nonce from step to step.
        if self._marked != (nonce, ref.addr):
            self._marked = (nonce, ref.addr)
            self._chain_mark = claim_mark(nonce, ref)
        deadline = now + timeout_ms / 1000
        self._chain = (ref.run, ref.gen, ref.addr, nonce, seq, now, deadline)
        self._write()

    def no_chain(self) -> None:
        """Show that no chain is owned."""
        self._chain, self._chain_mark, self._marked = (), b"", ("", "")
        self._write()

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show the batch that is owned; None: no longer any."""
        if ref is None or len(ref.chord) > ADDR_BYTES:
            self._owned = self._batch = ()
            self._batch_mark = b""
            self._write()
            return
        self._batch_mark = claim_mark(nonce, ref)
        self._owned = (ref.run, ref.gen, ref.chord, ref.lo, ref.hi, nonce)
        self.lane(-1, 0)

    def lane(self, index: int, timeout_ms: int) -> None:
        """Show which lane of the batch starts now; -1 when none is running."""
        if not self._owned:
            return
        now = time.monotonic()
        deadline = now + timeout_ms / 1000 if index >= 0 else 0.0
        self._batch = (*self._owned, index, now, deadline)
        self._write()

    def clear(self) -> None:
        """Show that nothing is owned."""
        self._chain = self._batch = self._owned = ()
        self._chain_mark = self._batch_mark = b""
        self._marked = ("", "")
        self._write()

    def cancelled(self) -> bool:
        """Return whether the keeper has cancelled a claim of this child."""
        at = self._at + _CONTROL_AT
        return self._map[at : at + 16] in (self._chain_mark, self._batch_mark)

    def draining(self) -> bool:
        """Return whether this process is asked to stop, or has to be replaced."""
        return self._map[0] == 1 or has_lost_descriptors()
