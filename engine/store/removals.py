"""Removes the data of generations from Redis, a portion a call, so that no call takes long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.store.redis_reads import IN_PIPELINE, STATE
from engine.store.wire import Wire

REMOVED_MS: Final = 3600 * 1000
"""How long the id of a removed run refuses a late start."""
REMOVED_FIELDS: Final = 500
"""Fields of a removed run that one call reads."""


class Removals:
    """The calls of the RedisStore that remove generations."""

    wire: Wire

    def remove(self, key: str, number: int | str = "", cursor: bytes = b"0") -> None:
        """Remove all data of a final generation, or of one not opened yet, a portion a call.

        With a `number`, remove it only if that is the number of its last journal entry; one
        that was never opened has the number 0. For REMOVED_MS it can't be started again.
        """
        while True:
            args = (key, REMOVED_MS, number, cursor, REMOVED_FIELDS)
            _, cursor = self.wire.script("remove", *args)
            if cursor == b"0":
                return

    def finish_removals(self) -> int:
        """Finish interrupted removals; return how many generations those were."""
        interrupted = self.wire.call("SMEMBERS", f"{STATE}removing")
        for key in interrupted:
            self.remove(key.decode())
        return len(interrupted)

    def remove_all(self, numbers: Iterable[tuple[str, int]]) -> None:
        """Remove final generations; `numbers` has the key of each and a number.

        One stays if the number is not that of its last journal entry.
        """
        calls = [
            (key, REMOVED_MS, number, 0, REMOVED_FIELDS) for key, number in numbers
        ]
        for at in range(0, len(calls), IN_PIPELINE):
            portion = calls[at : at + IN_PIPELINE]
            replies = self.wire.scripts("remove", portion)
            for (key, _, number, *_), (_, cursor) in zip(portion, replies, strict=True):
                if cursor != b"0":
                    self.remove(key, number, cursor)
