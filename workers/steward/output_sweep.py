"""The steward's sweep: a thread that deletes contents to which no run refers any more.

A store that is slow or away delays this thread alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from django.db import close_old_connections, connections

from blueprints.selectors.outputs import outputs_unsure
from blueprints.services.outputs import OutputsElsewhere, check_outputs, outputs_probe
from blueprints.services.retention import outputs_delete_unused
from engine.output_store import OutputsAway
from engine.store.redis import RedisStore
from workers.steward import logger
from workers.steward.periodic import Failures
from workers.wiring import AWAY

SWEEP_S: Final = 3600.0
"""How often all contents are looked at."""
LOOK_S: Final = 60.0
"""How often a steward without the lock looks whether it has it."""
EXPECTED: Final = (OutputsAway, OutputsElsewhere, *AWAY)
LAG_MS: Final = 600_000
"""How old the first entry that waits for the archive may be."""


class OutputSweep(threading.Thread):
    """Deletes outputs that are no longer needed, while its steward has the lock."""

    def __init__(self, store: RedisStore, leads: Callable[[], bool]) -> None:
        """Prepare the thread; a store that hangs keeps no process alive."""
        super().__init__(name="swarm-output-sweep", daemon=True)
        self._store = store
        self._leads = leads
        self._ending = threading.Event()
        self._after = self._reason = ""

    def run(self) -> None:
        """Sweep every hour until `end`; a failure is logged and tried again."""
        failures = Failures()
        while not self._ending.wait(SWEEP_S if self._leads() else LOOK_S):
            try:
                if self._leads():
                    self.sweep()
                failures.clear()
            except EXPECTED as error:
                failures.note(error)
            except Exception as error:
                failures.note(error, traceback=True)
            close_old_connections()
        connections.close_all()

    def end(self) -> None:
        """Ask the thread to end after the content in hand."""
        self._ending.set()

    def sweep(self) -> int:
        """Look at all contents; return how many were deleted."""
        if not outputs_probe():
            return 0
        check_outputs()
        deleted, more = 0, True
        while more and self._goes_on() and self._may_delete():
            self._after, some = outputs_delete_unused(self._after, self._goes_on)
            deleted, more = deleted + some, bool(self._after)
        if deleted:
            logger.info("steward: %d outputs are deleted", deleted)
        return deleted

    def lag(self) -> str:
        """Return why references to contents may be missing in the database, or nothing."""
        for first in self._store.journal_page(self._store.archived(), 1, 1):
            if self._store.now_ms() - first.at_ms > LAG_MS:
                return "the archive is behind"
        return outputs_unsure()

    def _may_delete(self) -> bool:
        """Return whether all references are known; log once why they may not be."""
        reason = self.lag()
        if reason and reason != self._reason:
            logger.warning("steward: no outputs are deleted: %s", reason)
        self._reason = reason
        return not reason

    def _goes_on(self) -> bool:
        return self._leads() and not self._ending.is_set()
