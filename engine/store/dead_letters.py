"""Dead letters: what lay in a queue or the journal and could not be used.

Each is counted by its source. The newest are kept for people, each with its reason and
the begin of its text; how many and how much of each is fixed in the scripts' prelude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.store.wire import Wire

DEAD: Final = "swarm:s:dead"
BURIED: Final = "swarm:s:buried"
MOST_KEPT: Final = 200
MOST_BYTES: Final = 2048
"""Of each text; the prelude has both numbers too."""
JOURNAL: Final = "journal"
"""The source of entries; all others are the names of queues."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One thing that could not be used: where it lay, why, and how it begins."""

    at_ms: int
    source: str
    why: str
    size: int
    text: bytes


def dead_letter(raw: bytes) -> DeadLetter:
    """Read a dead letter as the scripts write it."""
    at, source, why, size, text = raw.split(b"\n", 4)
    return DeadLetter(
        int(at), source.decode(), why.decode(), int(size), text[:MOST_BYTES]
    )


def counts(raw: Mapping[bytes, bytes]) -> dict[str, int]:
    """Read how many there were of each source."""
    return {source.decode(): int(count) for source, count in raw.items()}


class DeadLetters:
    """The part of the RedisStore that keeps them."""

    wire: Wire

    def bury(self, source: str, why: str, text: bytes) -> None:
        """Count and keep what was taken from a source and can't be used, and why."""
        self.wire.script(
            "bury",
            _line(source),
            _line(why),
            text[:MOST_BYTES],
            len(text),
        )

    def dead_letters(self) -> list[DeadLetter]:
        """Return what is kept, the newest first."""
        return [dead_letter(raw) for raw in self.wire.call("LRANGE", DEAD, 0, -1)]

    def displace(self, key: str, kind: str, source: str) -> bool:
        """Take away a value that is no `kind`; tell whether there was one."""
        return bool(self.wire.script("displace", key, kind, _line(source))[0])


def _line(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\n", " ")
