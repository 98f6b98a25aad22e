"""The steward's lock, and the clock that its owner keeps for the scripts."""

from __future__ import annotations

from typing import cast

from engine.store.redis_reads import ClockReading
from engine.store.wire import Wire


class Leading:
    """The calls of the RedisStore that a steward makes to lead."""

    wire: Wire
    _lease: int

    def elect(self, who: str, ttl_ms: int, seen: bytes = b"") -> tuple[int, bytes]:
        """Take or keep the steward's lock for `ttl_ms`.

        Returns the fencing number (-1 if another steward has the lock) and the clock as
        the lock's owner last wrote it. An owner that has not written since `seen` is dead.
        """
        fence, clock = self.wire.script("elect", who, ttl_ms, seen)
        return int(fence), cast(bytes, clock)

    def abdicate(self, who: str) -> None:
        """Release the steward's lock if `who` has it, so that another need not wait."""
        self.wire.script("elect", who, 0, b"")

    def set_clock(
        self, clock: ClockReading, offset_ms: int, now_ms: int, shift_ms: int
    ) -> bool:
        """Write the clock; return False if another steward wrote it after `clock` was read.

        A `shift_ms` below 0 is how far the wall clock was set forward: leases and timers
        that were set meanwhile are moved back by it.
        """
        reply = self.wire.script(
            "set_clock", clock.stored, offset_ms, now_ms, shift_ms, self._lease
        )
        return bool(reply[0])
