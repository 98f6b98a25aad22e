"""What a steward does every so often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db import InterfaceError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

logger = logging.getLogger("workers.steward")

AWAY: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    OperationalError,
    InterfaceError,
)
"""What tells that Redis or the database is away: nobody's fault, and not to be hurried."""
MAX_WAIT_S: Final = 5.0


@dataclass
class Duty:
    """Something done every so often."""

    every_s: float
    act: Callable[[], object]
    due: float = field(default=0.0)
    said: str = field(default="")
    """The last failure that was logged; empty once the duty succeeds again."""
    wait_s: float = field(default=0.0)

    def do(self) -> bool:
        """Act; False if it failed. AWAY errors are the caller's to wait for.

        What fails again and again is tried less often, and logged once a text.
        """
        self.due = time.monotonic() + self.every_s
        try:
            self.act()
        except AWAY:
            raise
        except Exception as error:
            if str(error) != self.said:
                self.said = str(error)
                logger.exception("steward: %s; trying again", error)
            self.wait_s = min(2 * max(self.wait_s, 0.25), MAX_WAIT_S)
            self.due = time.monotonic() + max(self.every_s, self.wait_s)
            return False
        self.said, self.wait_s = "", 0.0
        return True


def do_due(duties: Sequence[Duty], may: Callable[[], bool]) -> bool:
    """Do what is due as long as `may` says so before each; False if one failed.

    What has waited longest goes first: a duty that finds its Redis or database away
    ends the round, and the others have their turn before it comes round again.
    """
    well = True
    for duty in sorted(duties, key=lambda duty: duty.due):
        if time.monotonic() < duty.due:
            continue
        if not may():
            break
        well = duty.do() and well
    return well
