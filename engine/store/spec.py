"""Stored forms besides the chain's record: a chord's constants, a journal entry.

The constants are a line each; the Lua prelude cuts them as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.store.base import BatchRef, ChordSpec, JournalEntry, Ref


def pack_chord(spec: ChordSpec) -> bytes:
    """Return the stored form of a chord's constants, a line each."""
    return "\n".join(
        str(part)
        for part in (
            spec.size,
            spec.batch,
            spec.window,
            spec.parent,
            spec.parent_len,
            spec.base_id,
            spec.queue,
            spec.timeout_ms,
            spec.mode,
            spec.node,
            spec.place,
        )
    ).encode()


def unpack_chord(data: bytes) -> ChordSpec:
    """Read a chord's constants."""
    part = data.decode().split("\n")
    return ChordSpec(
        size=int(part[0]),
        batch=int(part[1]),
        window=int(part[2]),
        parent=part[3],
        parent_len=int(part[4]),
        base_id=part[5],
        queue=part[6],
        timeout_ms=int(part[7]),
        mode=part[8],
        node=int(part[9]),
        place=part[10],
    )


def journal_entry(key: bytes, pairs: Sequence[bytes]) -> JournalEntry:
    """Read one stream entry; one that nobody of us wrote belongs to no run."""
    got = dict(zip(pairs[::2], pairs[1::2], strict=True))
    text = key.decode()
    at_ms = int(text.partition("-")[0])
    try:
        run, gen, number = got[b"r"].decode(), int(got[b"g"]), int(got[b"n"])
        return JournalEntry(text, run, gen, number, at_ms, got[b"e"])
    except (KeyError, ValueError):
        return JournalEntry(text, "", 0, 0, at_ms, b" ".join(pairs))


def member_of(owner: Ref | BatchRef) -> str:
    """Return the address under which a chain or a batch is dispatched and leased."""
    if isinstance(owner, Ref):
        return owner.addr
    return f"{owner.chord}:{owner.lo}-{owner.hi}"
