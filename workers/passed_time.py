"""Keeps the clock of the scripts to the time that passes, whatever the wall clock does."""

from __future__ import annotations

import logging
import time
from typing import Final

from engine.store.redis import RedisStore

logger = logging.getLogger("workers.steward")

BEAT_MS: Final = 500
"""How often the time is noted; scripts are in doubt when that is 2 s ago."""
JUMP_MS: Final = 250
"""What two clocks may differ by from one look to the next."""
HURRY_MS: Final = 1000
"""How far a script may find the time ahead of the last look before it does nothing."""


class PassedTime:
    """Compares the clock of the scripts with this host's monotonic clock.

    Redis has no other clock than the wall clock of its host, which a person or NTP may
    set. What they part by between two looks goes into an offset that is kept in Redis,
    so that leases, delays, deadlines and tickets count time that passed.
    """

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; the first look trusts the clock, but lets it not go back."""
        self._store = store
        self._now = 0
        self._asked = self._answered = 0.0

    def look(self) -> bool:
        """Compare the clocks and set right what parted; False if something did."""
        asked = time.monotonic()
        clock = self._store.clock()
        answered = time.monotonic()
        now = max(clock.wall + clock.offset, 0)
        if not self._now:
            right = max(now, clock.beat)
        else:
            # The clock was read somewhere between question and answer, both times.
            least = self._now + _ms(asked - self._answered) - JUMP_MS
            most = self._now + _ms(answered - self._asked) + JUMP_MS
            right = min(max(now, least), most)
        moved = right - now
        if moved or right - clock.beat >= BEAT_MS:
            self._store.set_clock(clock, clock.offset + moved, right, min(moved, 0))
        if moved:
            logger.warning(
                "The clock of Redis was set by %+d s. Waits and deadlines go on counting"
                " the time that passed.",
                round(-moved / 1000),
            )
        self._now, self._asked, self._answered = right, asked, answered
        return not moved

    def latest(self) -> int:
        """Return the time, in milliseconds, at which nothing may be called due any more.

        A script that finds it later runs after the clock was set, or on a server that
        stood still meanwhile.
        """
        return self._now + _ms(time.monotonic() - self._answered) + HURRY_MS


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
