"""The stored forms of a chord's constants, a journal entry and a message's ticket.

The constants are one line each; `scripts/prelude.lua` parses them too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

from engine.store.base import ChordSpec, JournalEntry, LaneResult

TICKET_MARK: Final = "swarm-ticket:"
"""The delivery tag of our messages starts with this; the ticket follows."""
NONCE_BYTES: Final = 12
_TICKET: Final = re.compile(TICKET_MARK.encode() + rb"(\d{1,20})")


def ticket_of(message: bytes) -> int:
    """Return the ticket of a queue message, 0 for a message of another program."""
    found = _TICKET.search(message)
    return int(found[1]) if found else 0


def pack_result(result: LaneResult) -> bytes:
    """Return the stored form of a settled lane; the nonce that settled it precedes it."""
    return b"F" + result.log if result.failure is None else b"R" + result.failure


def unpack_result(data: bytes) -> tuple[bytes | None, bytes | None]:
    """Return edit log and failure of a settled lane, one of which is None."""
    kind, kept = data[NONCE_BYTES : NONCE_BYTES + 1], data[NONCE_BYTES + 1 :]
    return (kept, None) if kind == b"F" else (None, kept)


def pack_chord(spec: ChordSpec) -> bytes:
    """Return the stored form of a chord's constants: a line each, in their order."""
    return "\n".join(map(str, astuple(spec))).encode()


def unpack_chord(data: bytes) -> ChordSpec:
    """Parse a chord's constants."""
    (
        size, batch, window, parent, parent_len, base_id, queue, timeout_ms, mode, node,
        place,
    ) = data.decode().split("\n")  # fmt: skip
    return ChordSpec(
        size=int(size),
        batch=int(batch),
        window=int(window),
        parent=parent,
        parent_len=int(parent_len),
        base_id=base_id,
        queue=queue,
        timeout_ms=int(timeout_ms),
        mode=mode,
        node=int(node),
        place=place,
    )


def journal_entry(key: bytes, pairs: Sequence[bytes]) -> JournalEntry:
    """Parse one stream entry; the run of an entry that no script wrote is empty."""
    values = dict(zip(pairs[::2], pairs[1::2], strict=True))
    text = key.decode()
    at_ms = int(text.partition("-")[0])
    try:
        run, gen, number = values[b"r"].decode(), int(values[b"g"]), int(values[b"n"])
        return JournalEntry(text, run, gen, number, at_ms, values[b"e"])
    except (KeyError, ValueError):
        return JournalEntry(text, "", 0, 0, at_ms, b" ".join(pairs))
