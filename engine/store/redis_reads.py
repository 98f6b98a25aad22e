"""The reading half of the RedisStore."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.store.base import (
    ChordSpec,
    JournalEntry,
    RunEnd,
    RunHead,
    generation_key,
    split_key,
)
from engine.store.port import ChordResults
from engine.store.record import Record, unpack
from engine.store.spec import journal_entry, unpack_chord, unpack_result
from engine.store.wire import Wire

STATE: Final = "swarm:s:"
IN_PIPELINE: Final = 100
RELEASED: Final = 100
"""Messages that one call sends."""
READ_BYTES: Final = 8 << 20
READ_ENTRIES: Final = 32
SEARCH_S: Final = 0.5
HEAD: Final = ("status", "n", "prog", "gone")
_Root = tuple[str, RunHead, Record]
"""Name of the hash, head and root record of a generation."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The clock of the scripts at one moment, in milliseconds."""

    stored: bytes
    """The text in Redis: offset and beat."""
    wall: int
    offset: int
    beat: int
    """The time that the steward wrote last; 0 before the first."""

    @property
    def now(self) -> int:
        """Return the time that a script would count with."""
        return max(self.wall + self.offset, self.beat)


class RedisReads:
    """The reading half of the RedisStore."""

    wire: Wire

    def clock(self) -> ClockReading:
        """Read the clock of the scripts."""
        (seconds, micros), stored = self.wire.pipeline(
            [("TIME",), ("GET", f"{STATE}clock")]
        )
        offset, beat = map(int, stored.split()) if stored else (0, 0)
        wall = int(seconds) * 1000 + int(micros) // 1000
        return ClockReading(stored or b"", wall, offset, beat)

    def now_ms(self) -> int:
        """Return the wall clock of Redis in milliseconds, as ids of journal entries have it."""
        return self.clock().wall

    def head(self, run: str) -> RunHead | None:
        """See RunStore.head."""
        gen, *values = self.wire.script("head", run)
        return head_from(generation_key(run, int(gen)), values)

    def head_of(self, key: str) -> RunHead | None:
        """See RunStore.head_of."""
        return head_from(key, self.wire.call("HMGET", f"{STATE}r:{key}", *HEAD))

    def record(self, key: str, addr: str) -> Record | None:
        """See RunStore.record."""
        raw = self.wire.call("HGET", f"{STATE}r:{key}", f"c:{addr}")
        return unpack(raw) if raw else None

    def base(self, key: str, base_id: str) -> bytes | None:
        """See RunStore.base."""
        found: bytes | None = self.wire.call("HGET", f"{STATE}r:{key}:b", base_id)
        return found

    def log(self, key: str, addr: str, length: int) -> bytes:
        """See RunStore.log."""
        if not length:
            return b""
        name = f"{STATE}r:{key}:l:{addr}"
        return bytes(self.wire.call("GETRANGE", name, 0, length - 1))

    def chord(self, key: str, chord: str) -> ChordSpec | None:
        """See RunStore.chord."""
        raw = self.wire.call("HGET", f"{STATE}r:{key}", f"k:{chord}")
        return unpack_chord(raw) if raw else None

    def decided(self, key: str, chord: str) -> str | None:
        """See RunStore.decided."""
        raw = self.wire.call("HGET", f"{STATE}r:{key}", f"x:{chord}")
        return raw.decode() if raw else None

    def items(self, key: str, chord: str, page: int) -> bytes:
        """See RunStore.items."""
        return self.wire.call("LINDEX", f"{STATE}r:{key}:i:{chord}", page) or b"[]"

    def results(self, key: str, chord: str, lo: int, hi: int) -> ChordResults:
        """See RunStore.results."""
        lanes: ChordResults = {}
        name = f"{STATE}r:{key}:k:{chord}"
        for at in range(lo, hi, 2000):
            page = range(at, min(at + 2000, hi))
            for i, raw in zip(page, self.wire.call("HMGET", name, *page), strict=True):
                if raw is not None:
                    lanes[i] = unpack_result(raw)
        return lanes

    def journal(self, after: str, count: int, block_ms: int = 0) -> list[JournalEntry]:
        """Return up to `count` journal entries after an entry id; `0` starts at the first.

        Waits up to `block_ms` milliseconds for the first entry.
        """
        args: list[Any] = ["XREAD", "COUNT", count]
        if block_ms:
            args += ["BLOCK", block_ms]
        reply = self.wire.call(*args, "STREAMS", f"{STATE}j", after)
        if not reply:
            return []
        # RESP2 replies with a list of streams, RESP3 with a map.
        rows = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))
        return [journal_entry(key, pairs) for key, pairs in rows]

    def archived(self) -> str:
        """Return the id of the last archived journal entry; `0` for none."""
        entry_id = self.wire.call("GET", f"{STATE}archived")
        return entry_id.decode() if entry_id else "0"

    def trim(self, upto: str, keep_ms: int = 0) -> None:
        """Record that the journal is archived up to an entry, and delete these entries.

        Entries younger than `keep_ms` stay for live views. A call with an older id than
        the recorded one does not move the record back.
        """
        self.wire.script("trim", upto, keep_ms)

    def release(self, upto: str) -> None:
        """Send the messages that wait until the journal is archived up to an entry."""
        while self.wire.script("release", upto, RELEASED)[0]:
            pass

    def journal_bytes(self) -> int:
        """Return the memory of the journal in Redis, in bytes."""
        return int(self.wire.call("MEMORY", "USAGE", f"{STATE}j") or 0)

    def journal_page(
        self, after: str, count: int, most_bytes: int
    ) -> list[JournalEntry]:
        """Return up to `count` entries after an id; the one that reaches `most_bytes` is last."""
        page: list[JournalEntry] = []
        size = 0
        while len(page) < count and size < most_bytes:
            # A few at a time, since each may be as large as a Ctx.
            entries = self.journal(after, min(READ_ENTRIES, count - len(page)))
            for entry in entries:
                if size < most_bytes:
                    page.append(entry)
                    size += len(entry.data)
            if not entries:
                break
            after = entries[-1].id
        return page

    def may_archive(self, key: str) -> bool:
        """Return whether the journal may have entries of a generation to archive.

        It may, too, if the search takes longer than SEARCH_S.
        """
        after, until = self.archived(), time.monotonic() + SEARCH_S
        while entries := self.journal(after, READ_ENTRIES):
            if any(generation_key(entry.run, entry.gen) == key for entry in entries):
                return True
            after = entries[-1].id
            if time.monotonic() > until:
                return True
        return False

    def ends(self, keys: Sequence[str]) -> Iterator[RunEnd | None]:
        """Yield the end of each generation, in order; None for one that Redis has not.

        A few round trips read up to IN_PIPELINE ends or READ_BYTES, when they are needed.
        """
        for at in range(0, len(keys), IN_PIPELINE):
            yield from self._ends(keys[at : at + IN_PIPELINE])

    def _ends(self, keys: Sequence[str]) -> Iterator[RunEnd | None]:
        names = [f"{STATE}r:{key}" for key in keys]
        rows = self.wire.pipeline([("HMGET", name, *HEAD, "c:0") for name in names])
        roots: list[_Root | None] = []
        for key, name, row in zip(keys, names, rows, strict=True):
            head, packed = head_from(key, row), row[-1]
            roots.append((name, head, unpack(packed)) if head and packed else None)
        sizes = iter(
            self.wire.pipeline(
                [("HSTRLEN", f"{root[0]}:b", root[2].base_id) for root in roots if root]
            )
        )
        portion: list[_Root | None] = []
        size = 0
        for root in roots:
            more = root[2].loglen + int(next(sizes)) if root else 0
            if portion and size + more > READ_BYTES:
                yield from self._read_ends(portion)
                portion, size = [], 0
            portion.append(root)
            size += more
        yield from self._read_ends(portion)

    def _read_ends(self, roots: Sequence[_Root | None]) -> list[RunEnd | None]:
        commands: list[tuple[Any, ...]] = []
        for name, _, record in filter(None, roots):
            # GETRANGE 0 -1 would return the whole log.
            last = record.loglen - 1 if record.loglen else -(1 << 40)
            commands.append(("GETRANGE", f"{name}:l:0", 0, last))
            commands.append(("HGET", f"{name}:b", record.base_id))
        parts = iter(self.wire.pipeline(commands))
        return [
            root and RunEnd(*root[1:], log=next(parts), base=next(parts))
            for root in roots
        ]


def head_from(key: str, values: Sequence[Any]) -> RunHead | None:
    """Return the head of a generation from the values of HEAD; None for a removed one."""
    _, gen = split_key(key)
    status, number, program_id, gone = values[: len(HEAD)]
    if status is None or gone is not None:
        return None
    return RunHead(status.decode(), gen, int(number), (program_id or b"").decode())
