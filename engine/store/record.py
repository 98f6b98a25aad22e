"""The packed record of a chain: one text that a script cuts and `redis-cli` can read.

Fixed-width fields first, then queue, place and frames, a line each. The Lua prelude
(`scripts/prelude.lua`) cuts the same offsets; tests/engine/store checks both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

NO_NONCE: Final = " " * 12
FIXED: Final = 84
MOST: Final = 99
"""Tries and losts are two digits wide."""
MOST_LOST: Final = MOST - 2
"""The highest cap on lost attempts: the one beyond it ends the step, and should that end
kill its worker as well, one more ends the chain. Both must be counted."""


@dataclass(frozen=True, slots=True)
class Record:
    """A chain as stored.

    `state` is p pending (dispatched), r running (claimed), w waiting for a signal or a
    timer, s signalled, j waiting for its chord, h held by a pause, d ended. `frames`
    starts with its phase: s a step, c a node to enter, j a join, e an end.
    """

    seq: int
    owner: str
    last: str
    state: str
    tries: int
    lost: int
    deadline_ms: int
    timeout_ms: int
    loglen: int
    base_id: str
    queue: str
    place: str
    frames: bytes

    def pack(self) -> bytes:
        """Return the stored form."""
        head = (
            f"{self.seq:08d}{self.owner:<12}{self.last:<12}{self.state}"
            f"{self.tries:02d}{self.lost:02d}{self.deadline_ms:013d}"
            f"{self.timeout_ms:09d}{self.loglen:09d}{self.base_id:<16}"
            f"{self.queue}\n{self.place}\n"
        )
        return head.encode() + self.frames

    def with_(self, **changes: object) -> Record:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def unpack(data: bytes) -> Record:
    """Read a stored record; ValueError if it is not one."""
    queue, place, frames = data[FIXED:].split(b"\n", 2)
    text = data[:FIXED].decode()
    return Record(
        seq=int(text[:8]),
        owner=text[8:20].strip(),
        last=text[20:32].strip(),
        state=text[32],
        tries=int(text[33:35]),
        lost=int(text[35:37]),
        deadline_ms=int(text[37:50]),
        timeout_ms=int(text[50:59]),
        loglen=int(text[59:68]),
        base_id=text[68:84].strip(),
        queue=queue.decode(),
        place=place.decode(),
        frames=frames,
    )
