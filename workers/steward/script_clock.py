"""Keeps the clock of the scripts steady when the wall clock is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.store.redis import RedisStore
from workers.steward import logger

BEAT_MS: Final = 500
"""How often the time is noted in Redis; scripts distrust a note older than 2 s."""
JUMP_MS: Final = 250
"""How far two clocks may part between two comparisons without a correction."""
HURRY_MS: Final = 1000
"""How far ahead of the last comparison a script may find the time and still act."""


class ScriptClock:
    """Compares the clock of the scripts with this host's monotonic clock.

    Redis has only the wall clock of its host, which a person or NTP may set. The
    difference between two comparisons goes into an offset in Redis, so that leases,
    delays, deadlines and tickets count the time that has passed.
    """

    def __init__(
        self, store: RedisStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Bind a store; the first comparison trusts its clock, unless it went back."""
        self._store = store
        self._clock = clock
        self._now = 0
        self._asked = self._answered = 0.0

    def correct(self) -> bool:
        """Compare the clocks and correct the offset; return False if it was wrong."""
        asked = self._clock()
        clock = self._store.clock()
        answered = self._clock()
        now = max(clock.wall + clock.offset, 0)
        if not self._now:
            right = max(now, clock.beat)
        else:
            # Both times, Redis read its clock between our question and its answer.
            least = self._now + _ms(asked - self._answered) - JUMP_MS
            most = self._now + _ms(answered - self._asked) + JUMP_MS
            right = min(max(now, least), most)
        moved = right - now
        if moved or right - clock.beat >= BEAT_MS:
            self._store.set_clock(clock, clock.offset + moved, right, min(moved, 0))
        if moved:
            logger.warning(
                "The clock of Redis was set by %+d s. Waits and deadlines continue to"
                " count the time that has passed.",
                round(-moved / 1000),
            )
        self._now, self._asked, self._answered = right, asked, answered
        return not moved

    def latest(self) -> int:
        """Return the latest time, in milliseconds, at which a script may still act.

        If a script finds a later time, the clock was set or the server stood still.
        """
        return self._now + _ms(self._clock() - self._answered) + HURRY_MS


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
