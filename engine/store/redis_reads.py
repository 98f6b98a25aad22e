"""What is read from Redis without changing a run, and the removal of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from engine.store.base import ChordResults, ChordSpec, JournalEntry, RunEnd, RunHead
from engine.store.record import Record, unpack
from engine.store.spec import journal_entry, unpack_chord
from engine.store.wire import Wire

STATE: Final = "swarm:s:"
REMOVED_MS: Final = 3600 * 1000
REMOVED_FIELDS: Final = 500
"""Of so many fields at a time a removed run's keys are found, so that no call is long."""
IN_PIPELINE: Final = 100
READ_BYTES: Final = 8 << 20
READ_ENTRIES: Final = 32
HEAD: Final = ("status", "gen", "n", "prog", "by", "gone")


@dataclass(frozen=True, slots=True)
class Clock:
    """What the scripts tell the time by, in milliseconds."""

    noted: bytes
    """The key as it stands: offset and beat."""
    wall: int
    offset: int
    beat: int
    """When the steward last noted the time; 0 if none ever did."""

    @property
    def now(self) -> int:
        """Return the time as the scripts have it."""
        return max(self.wall + self.offset, self.beat)


class RedisReads:
    """The reading half of the RedisStore."""

    wire: Wire

    def clock(self) -> Clock:
        """Read the clock of the scripts."""
        (seconds, micros), noted = self.wire.pipeline(
            [("TIME",), ("GET", f"{STATE}clock")]
        )
        offset, beat = map(int, noted.split()) if noted else (0, 0)
        wall = int(seconds) * 1000 + int(micros) // 1000
        return Clock(noted or b"", wall, offset, beat)

    def now_ms(self) -> int:
        """Return Redis TIME in milliseconds: the clock that journal entries are dated by."""
        seconds, micros = self.wire.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def head(self, run: str) -> RunHead | None:
        """See RunStore.head."""
        return _head(self.wire.call("HMGET", f"{STATE}r:{run}", *HEAD))

    def record(self, run: str, addr: str) -> Record | None:
        """See RunStore.record."""
        raw = self.wire.call("HGET", f"{STATE}r:{run}", f"c:{addr}")
        return unpack(raw) if raw else None

    def program(self, run: str, program_id: str) -> bytes | None:
        """See RunStore.program."""
        return self.base(run, program_id)

    def base(self, run: str, base_id: str) -> bytes | None:
        """See RunStore.base."""
        return cast(
            "bytes | None", self.wire.call("HGET", f"{STATE}r:{run}:b", base_id)
        )

    def log(self, run: str, addr: str, length: int) -> bytes:
        """See RunStore.log."""
        if not length:
            return b""
        return cast(
            bytes, self.wire.call("GETRANGE", f"{STATE}r:{run}:l:{addr}", 0, length - 1)
        )

    def chord(self, run: str, chord: str) -> ChordSpec | None:
        """See RunStore.chord."""
        raw = self.wire.call("HGET", f"{STATE}r:{run}", f"k:{chord}")
        return unpack_chord(raw) if raw else None

    def decided(self, run: str, chord: str) -> str | None:
        """See RunStore.decided."""
        raw = self.wire.call("HGET", f"{STATE}r:{run}", f"x:{chord}")
        return raw.decode() if raw else None

    def items(self, run: str, chord: str, page: int) -> bytes:
        """See RunStore.items."""
        return self.wire.call("LINDEX", f"{STATE}r:{run}:i:{chord}", page) or b"[]"

    def results(self, run: str, chord: str, lo: int, hi: int) -> ChordResults:
        """See RunStore.results."""
        lanes: dict[int, tuple[bytes | None, bytes | None]] = {}
        key = f"{STATE}r:{run}:k:{chord}"
        for at in range(lo, hi, 2000):
            page = range(at, min(at + 2000, hi))
            for i, raw in zip(page, self.wire.call("HMGET", key, *page), strict=True):
                if raw is None:
                    continue
                lanes[i] = (raw[13:], None) if raw[12:13] == b"F" else (None, raw[13:])
        return ChordResults(lanes)

    def journal(self, after: str, count: int, block_ms: int = 0) -> list[JournalEntry]:
        """See RunStore.journal."""
        args: list[Any] = ["XREAD", "COUNT", count]
        if block_ms:
            args += ["BLOCK", block_ms]
        reply = self.wire.call(*args, "STREAMS", f"{STATE}j", after)
        if not reply:
            return []
        rows = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))
        return [journal_entry(key, pairs) for key, pairs in rows]

    def archived(self) -> str:
        """See RunStore.archived."""
        mark = self.wire.call("GET", f"{STATE}archived")
        return mark.decode() if mark else "0"

    def trim(self, upto: str, keep_ms: int = 0) -> None:
        """See RunStore.trim."""
        self.wire.script("trim", upto, keep_ms)

    def journal_bytes(self) -> int:
        """See RunStore.journal_bytes."""
        return int(self.wire.call("MEMORY", "USAGE", f"{STATE}j") or 0)

    def journal_page(
        self, after: str, count: int, most_bytes: int
    ) -> list[JournalEntry]:
        """Return up to `count` journal entries after an id, the last reaching `most_bytes`."""
        found: list[JournalEntry] = []
        size = 0
        while len(found) < count and size < most_bytes:
            # A few at a time, since each may be as large as a Ctx.
            some = self.journal(after, min(READ_ENTRIES, count - len(found)))
            for entry in some:
                if size < most_bytes:
                    found.append(entry)
                    size += len(entry.data)
            if not some:
                break
            after = some[-1].id
        return found

    def ends(self, runs: Sequence[str]) -> Iterator[RunEnd | None]:
        """Yield head, root record, its log and base of runs, in their order.

        None for a run that Redis doesn't have. Read as they are asked for, in a few
        round trips for up to IN_PIPELINE runs or READ_BYTES.
        """
        for at in range(0, len(runs), IN_PIPELINE):
            yield from self._ends(runs[at : at + IN_PIPELINE])

    def _ends(self, runs: Sequence[str]) -> Iterator[RunEnd | None]:
        keys = [f"{STATE}r:{run}" for run in runs]
        rows = self.wire.pipeline([("HMGET", key, *HEAD, "c:0") for key in keys])
        found: list[tuple[str, RunHead, Record] | None] = []
        for key, row in zip(keys, rows, strict=True):
            head = _head(row)
            gone = head is None or row[-1] is None
            found.append(None if gone else (key, cast(RunHead, head), unpack(row[-1])))
        sizes = iter(
            self.wire.pipeline(
                [("HSTRLEN", f"{one[0]}:b", one[2].base_id) for one in found if one]
            )
            if any(found)
            else ()
        )
        some: list[tuple[str, RunHead, Record] | None] = []
        size = 0
        for one in found:
            more = one[2].loglen + int(next(sizes)) if one else 0
            if some and size + more > READ_BYTES:
                yield from self._read_ends(some)
                some, size = [], 0
            some.append(one)
            size += more
        yield from self._read_ends(some)

    def _read_ends(
        self, some: Sequence[tuple[str, RunHead, Record] | None]
    ) -> list[RunEnd | None]:
        commands: list[tuple[Any, ...]] = []
        for key, _, record in filter(None, some):
            # A length of 0 would be read as the whole log.
            last = record.loglen - 1 if record.loglen else -(1 << 40)
            commands.append(("GETRANGE", f"{key}:l:0", 0, last))
            commands.append(("HGET", f"{key}:b", record.base_id))
        parts = iter(self.wire.pipeline(commands) if commands else ())
        return [
            None if one is None else RunEnd(*one[1:], log=next(parts), base=next(parts))
            for one in some
        ]

    def remove(self, run: str) -> None:
        """See RunStore.remove."""
        self._remove(run, "")

    def _remove(self, run: str, number: int | str, cursor: bytes = b"0") -> None:
        """Remove what is left of a run from a cursor on, a portion a call."""
        while True:
            args = (run, REMOVED_MS, number, cursor, REMOVED_FIELDS)
            _, cursor = self.wire.script("remove", *args)
            if cursor == b"0":
                return

    def finish_removals(self) -> int:
        """See RunStore.finish_removals."""
        cut_short = self.wire.call("SMEMBERS", f"{STATE}removing")
        for run in cut_short:
            self._remove(run.decode(), "")
        return len(cut_short)

    def remove_all(self, runs: Iterable[tuple[str, int]]) -> None:
        """Forget final runs whose last journal entry has the given number."""
        calls = [(run, REMOVED_MS, number, 0, REMOVED_FIELDS) for run, number in runs]
        for at in range(0, len(calls), IN_PIPELINE):
            some = calls[at : at + IN_PIPELINE]
            answers = self.wire.scripts("remove", some)
            for call, (_, cursor) in zip(some, answers, strict=True):
                if cursor != b"0":
                    self._remove(call[0], call[2], cursor)


def _head(got: Sequence[Any]) -> RunHead | None:
    if got[0] is None or got[5] is not None:
        return None
    return RunHead(
        got[0].decode(),
        int(got[1]),
        int(got[2]),
        (got[3] or b"").decode(),
        (got[4] or b"").decode(),
    )
