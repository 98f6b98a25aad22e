"""The packed record of a chain: a text that scripts, and people in `redis-cli`, can read.

Fields of fixed width come first, then queue, place and frames, one line each. The scripts
pack it (`scripts/prelude.lua`); tests/engine/store checks that both sides use the same
offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIXED: Final = 84
"""Bytes of the fields of fixed width."""
MAX_COUNT: Final = 99
"""Tries and lost attempts are two digits wide."""
LONGEST_MS: Final = 999_999_999
"""The longest timeout that fits into a record (eleven days): it is nine digits wide."""
MOST_LOST: Final = MAX_COUNT - 2
"""The highest cap on lost attempts. The attempt above the cap ends the step; if that end
kills its worker too, one more lost attempt ends the chain. Both must be countable."""


class ChainState(StrEnum):
    """The state of a stored chain, as its letter in the record."""

    PENDING = "p"
    """Dispatched to its queue."""
    RUNNING = "r"
    """Claimed by a worker."""
    WAITING = "w"
    """Waiting for a signal or a timer."""
    SIGNALLED = "s"
    """Dispatched with a signal."""
    JOINING = "j"
    """Waiting for its chord."""
    HELD = "h"
    """Parked by a pause."""
    ENDED = "d"


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a chain; `frames` starts with the letter of its phase."""

    seq: int
    owner: str
    last: str
    state: ChainState
    tries: int
    lost: int
    deadline_ms: int
    timeout_ms: int
    loglen: int
    base_id: str
    queue: str
    place: str
    frames: bytes


def pack(record: Record) -> bytes:
    """Return the stored form of a record, as `pack_record` of the scripts does."""
    fixed = (
        f"{record.seq:08d}{record.owner:<12}{record.last:<12}{record.state}"
        f"{min(record.tries, MAX_COUNT):02d}{min(record.lost, MAX_COUNT):02d}"
        f"{record.deadline_ms:013d}{record.timeout_ms:09d}{record.loglen:09d}"
        f"{record.base_id:<16}{record.queue}\n{record.place}\n"
    )
    return fixed.encode() + record.frames


def unpack(data: bytes) -> Record:
    """Parse a stored record; raises ValueError for any other text."""
    queue, place, frames = data[FIXED:].split(b"\n", 2)
    text = data[:FIXED].decode()
    return Record(
        seq=int(text[:8]),
        owner=text[8:20].strip(),
        last=text[20:32].strip(),
        state=ChainState(text[32]),
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
