"""Dead letters: messages and journal entries that no worker can use.

They are counted by source. The newest ones are stored with a reason and the start of
their text, so that people can inspect them.
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
"""Bytes kept of each text."""
JOURNAL: Final = "journal"
"""The source of journal entries; every other source is the name of a queue."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One unusable message or entry; `text` is its start, `size` that of the whole."""

    at_ms: int
    source: str
    why: str
    size: int
    text: bytes


def dead_letter(raw: bytes) -> DeadLetter:
    """Parse a dead letter that a script stored."""
    at, source, why, size, text = raw.split(b"\n", 4)
    return DeadLetter(
        int(at), source.decode(), why.decode(), int(size), text[:MOST_BYTES]
    )


def counts(raw: Mapping[bytes, bytes]) -> dict[str, int]:
    """Parse the number of dead letters of each source."""
    return {source.decode(): int(count) for source, count in raw.items()}


class DeadLetters:
    """The methods of RedisStore for dead letters."""

    wire: Wire

    def bury(self, source: str, why: str, text: bytes) -> None:
        """Count and store a message or entry that can't be used, with the reason."""
        args = (_line(source), _line(why), text[:MOST_BYTES], len(text))
        self.wire.script("bury", *args)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the stored dead letters, newest first."""
        return [dead_letter(raw) for raw in self.wire.call("LRANGE", DEAD, 0, -1)]

    def displace(self, key: str, kind: str, source: str) -> bool:
        """Bury the value of a key if its Redis type is not `kind`; return whether it was."""
        return bool(self.wire.script("displace", key, kind, _line(source))[0])


def _line(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\n", " ")
