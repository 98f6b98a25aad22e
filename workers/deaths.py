"""What a worker's log says of children that died: one plain line each.

Celery prints a traceback of its own pool for every such child. One that the keeper
killed has had the keeper's line; of all others the signal is what matters.
"""

from __future__ import annotations

import logging
from typing import Final

from celery.exceptions import WorkerLostError

POOL: Final = "multiprocessing"
REQUEST: Final = "celery.worker.request"


class Deaths(logging.Filter):
    """Filters the records of the pool and of Celery's requests about dead children."""

    def __init__(self) -> None:
        """Expect no death."""
        super().__init__()
        self._expected: set[int] = set()
        self._told = 0

    def expect(self, pid: int) -> None:
        """Note that this process is about to kill a child and has said so."""
        self._expected.add(pid)

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what was told already, and tracebacks that show Celery's own code."""
        if record.name == POOL:
            return not self._is_expected(record)
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(getattr(error, "exc", error), WorkerLostError):
            return True
        if self._told:
            self._told -= 1
            return False
        record.exc_info = record.exc_text = None
        return True

    def _is_expected(self, record: logging.LogRecord) -> bool:
        # 'Process %r pid:%r exited with %r'
        args = record.args if isinstance(record.args, tuple) else ()
        pid = args[1] if len(args) == 3 else None
        if pid not in self._expected or "exited with" not in str(record.msg):
            return False
        self._expected.discard(pid)
        # The record of the request that this child was at comes next.
        self._told += 1
        return True


deaths = Deaths()


def be_plain() -> None:
    """Put the filter into this process; done again it changes nothing."""
    for name in (POOL, REQUEST):
        logging.getLogger(name).addFilter(deaths)
