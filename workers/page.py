"""The shared page: what each child works on, readable by its main process.

One slot a child, guarded by a sequence word that is odd while the child writes: plain
slots are torn in about a tenth of concurrent reads. The main process
writes only the control bytes behind a slot and the draining byte at the page's start.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import crc32

from engine.store.base import BatchRef, Ref
from workers.process.descriptors import broken

SLOTS: Final = 512
HEADER: Final = 64
SLOT: Final = 2560
RUN_BYTES: Final = 48
ADDR_BYTES: Final = 1000
"""Room for the address of a chain below 127 fanouts of a hundred lanes each."""

_HEAD = Struct("<QI4x")
_CHAIN = Struct(f"<ddIq12s{RUN_BYTES}s{ADDR_BYTES}s")
_BATCH = Struct(f"<dddIIIi12s{RUN_BYTES}s{ADDR_BYTES}s")
_CHAIN_AT: Final = _HEAD.size
_BATCH_AT: Final = _CHAIN_AT + _CHAIN.size
_END: Final = _BATCH_AT + _BATCH.size
_CONTROL_AT: Final = SLOT - 16
_NO_CHAIN = bytes(_CHAIN.size)
_NO_BATCH = bytes(_BATCH.size)
assert _END <= _CONTROL_AT  # noqa: S101 - the layout must fit its slot


@dataclass(frozen=True, slots=True)
class ShownChain:
    """A chain a child owns; times are seconds of the monotonic clock."""

    ref: Ref
    seq: int
    nonce: str
    started: float
    deadline: float

    @property
    def mark(self) -> bytes:
        """What cancels it."""
        return claim_mark(self.nonce, self.ref.addr)


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """A batch a child owns, and the lane it is running (-1: none)."""

    ref: BatchRef
    nonce: str
    lane: int
    started: float
    lane_started: float
    deadline: float

    @property
    def mark(self) -> bytes:
        """What cancels it."""
        return claim_mark(self.nonce, self.ref.chord)


@dataclass(frozen=True, slots=True)
class Shown:
    """What one slot says; `word` is its sequence word, which each write moves on."""

    slot: int
    pid: int
    word: int
    chain: ShownChain | None
    batch: ShownBatch | None


class Page:
    """An anonymous shared mapping, made before the fork and inherited by children."""

    def __init__(self) -> None:
        """Map the page."""
        self.map = mmap.mmap(-1, HEADER + SLOTS * SLOT)
        self._over: dict[int, int] = {}

    def drain(self) -> None:
        """Ask every child to give work back; a memory write only, safe in a handler."""
        self.map[0] = 1

    @property
    def draining(self) -> bool:
        """Tell whether children are asked to give work back."""
        return self.map[0] == 1

    def read(self, slot: int) -> Shown | None:
        """Return what a slot says, None if nothing or if it is being written."""
        at = HEADER + slot * SLOT
        for _ in range(20):
            before, pid = _HEAD.unpack_from(self.map, at)
            body = self.map[at + _CHAIN_AT : at + _END]
            after, _ = _HEAD.unpack_from(self.map, at)
            if before == after and before % 2 == 0:
                if not pid or self._over.get(slot) == before:
                    return None
                return _shown(slot, pid, before, body)
        return None

    def forget(self, item: Shown) -> None:
        """Read no more what a process has shown that is known to be dead.

        The slot itself is not written to: a successor may be writing to it already, and
        goes on from its predecessor's word, so that what it shows is told from this.
        """
        self._over[item.slot] = item.word

    def cancel(self, slot: int, mark: bytes) -> None:
        """Tell a child that the claim of this mark is in vain."""
        at = HEADER + slot * SLOT + _CONTROL_AT
        self.map[at : at + 16] = mark


def claim_mark(nonce: str, address: str) -> bytes:
    """Return 16 bytes for a claim: its nonce, and what of it is owned.

    The chain that goes on after a chord has the nonce of the lane that decided it, and
    is not over with it.
    """
    return nonce.encode().ljust(12) + crc32(address.encode()).to_bytes(4)


def _shown(slot: int, pid: int, word: int, body: bytes) -> Shown | None:
    chain: ShownChain | None = None
    batch: ShownBatch | None = None
    started, deadline, gen, seq, nonce, run, addr = _CHAIN.unpack_from(body, 0)
    if started:
        ref = Ref(_text(run), gen, _text(addr))
        chain = ShownChain(ref, seq, _text(nonce), started, deadline)
    since, began, deadline, gen, lo, hi, lane, nonce, run, chord = _BATCH.unpack_from(
        body, _BATCH_AT - _CHAIN_AT
    )
    if since:
        span = BatchRef(_text(run), gen, _text(chord), lo, hi)
        batch = ShownBatch(span, _text(nonce), lane, since, began, deadline)
    if chain is None and batch is None:
        return None
    return Shown(slot, pid, word, chain, batch)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


class SlotWatch:
    """The engine's Watch of one child: writes its slot of the page."""

    def __init__(self, page: Page, slot: int) -> None:
        """Write to `slot`, which no other live process uses."""
        self._map = page.map
        self._at = HEADER + slot * SLOT
        self._pid = os.getpid()
        # A predecessor's may be odd, if it was killed while it wrote.
        self._word = (_HEAD.unpack_from(self._map, self._at)[0] + 1) & ~1
        self._chain_mark = self._batch_mark = b""
        self._lane_chord: tuple[BatchRef, str, float] | None = None
        self.clear()

    def _write(self, offset: int, body: bytes) -> None:
        at = self._at
        self._word += 2
        _HEAD.pack_into(self._map, at, self._word - 1, self._pid)
        self._map[at + offset : at + offset + len(body)] = body
        _HEAD.pack_into(self._map, at, self._word, self._pid)

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show a chain whose attempt or transition starts now."""
        now = time.monotonic()
        addr = ref.addr.encode()
        if len(addr) > ADDR_BYTES:
            # A part of it would be another chain's.
            self.no_chain()
            return
        self._chain_mark = claim_mark(nonce, ref.addr)
        body = _CHAIN.pack(
            now,
            now + timeout_ms / 1000,
            ref.gen,
            seq,
            nonce.encode(),
            ref.run.encode(),
            addr,
        )
        self._write(_CHAIN_AT, body)

    def no_chain(self) -> None:
        """Show that no chain is owned."""
        self._chain_mark = b""
        self._write(_CHAIN_AT, _NO_CHAIN)

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show the batch that is owned, or that none is any more."""
        if ref is None or len(ref.chord.encode()) > ADDR_BYTES:
            self._lane_chord, self._batch_mark = None, b""
            self._write(_BATCH_AT, _NO_BATCH)
            return
        self._batch_mark = claim_mark(nonce, ref.chord)
        self._lane_chord = (ref, nonce, time.monotonic())
        self.lane(-1, 0)

    def lane(self, index: int, timeout_ms: int) -> None:
        """Show which lane of the batch starts now; -1 when none is running."""
        if self._lane_chord is None:
            return
        ref, nonce, since = self._lane_chord
        now = time.monotonic()
        body = _BATCH.pack(
            since,
            now,
            now + timeout_ms / 1000 if index >= 0 else 0.0,
            ref.gen,
            ref.lo,
            ref.hi,
            index,
            nonce.encode(),
            ref.run.encode(),
            ref.chord.encode(),
        )
        self._write(_BATCH_AT, body)

    def clear(self) -> None:
        """Show that nothing is owned."""
        self._lane_chord = None
        self._chain_mark = self._batch_mark = b""
        self._write(_CHAIN_AT, _NO_CHAIN + _NO_BATCH)

    def cancelled(self) -> bool:
        """Tell whether the keeper has learned that this claim is in vain."""
        at = self._at + _CONTROL_AT
        return self._map[at : at + 16] in (self._chain_mark, self._batch_mark)

    def draining(self) -> bool:
        """Tell whether this process is asked to stop, or has to be replaced."""
        return self._map[0] == 1 or broken()
