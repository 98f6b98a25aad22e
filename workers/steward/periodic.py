"""The steward's duties: actions that are repeated every so often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from workers.steward import logger
from workers.wiring import AWAY

MAX_WAIT_S: Final = 5.0


class Failures:
    """Logs each failure text once, and lengthens the wait after each failure."""

    def __init__(self) -> None:
        """Begin without a failure."""
        self.clear()

    def clear(self) -> None:
        """Note a success."""
        self._text, self.wait_s = "", 0.0

    def note(self, error: Exception, *, traceback: bool = False) -> None:
        """Note a failure; `wait_s` is how long to wait after it."""
        if str(error) != self._text:
            self._text = str(error)
            level = logging.ERROR if traceback else logging.WARNING
            logger.log(level, "steward: %s; trying again", error, exc_info=traceback)
        self.wait_s = min(2 * max(self.wait_s, 0.25), MAX_WAIT_S)


@dataclass
class Duty:
    """An action that is repeated every `every_s` seconds; `clock` returns seconds."""

    every_s: float
    act: Callable[[], object]
    clock: Callable[[], float] = time.monotonic
    due: float = field(default=0.0)
    failures: Failures = field(default_factory=Failures)

    def do(self) -> bool:
        """Act; return False if that failed. AWAY errors are raised.

        A duty that fails repeatedly is tried less often.
        """
        self.due = self.clock() + self.every_s
        try:
            self.act()
        except AWAY:
            raise
        except Exception as error:
            self.failures.note(error, traceback=True)
            self.due = self.clock() + max(self.every_s, self.failures.wait_s)
            return False
        self.failures.clear()
        return True


def do_due(duties: Sequence[Duty], may: Callable[[], bool]) -> bool:
    """Do the duties that are due while `may` returns True; return False if one failed.

    The duty that has waited longest is first. An AWAY error ends the round, and the
    duties after it are first in the next round.
    """
    well = True
    for duty in sorted(duties, key=lambda duty: duty.due):
        if duty.clock() < duty.due:
            continue
        if not may():
            break
        well = duty.do() and well
    return well
