"""The log lines for children of the pool that died: one plain line each.

Celery logs a traceback of its own pool for every such child. The keeper has logged the
children that it killed; for all others the exit code or signal is enough.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final, cast

from celery.exceptions import WorkerLostError

POOL: Final = "multiprocessing"
REQUEST: Final = "celery.worker.request"
MOST_KEPT: Final = 256
CGROUPS: Final = Path("/sys/fs/cgroup")


def kills_for_memory(mine: str | None = None, root: Path = CGROUPS) -> int:
    """Return how many processes of our cgroup the kernel has killed for memory.

    `mine` is the text of /proc/self/cgroup, of either version; 0 if it can't be read.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text() if mine is None else mine
        for line in groups.splitlines():
            _, controllers, place = line.split(":", 2)
            files = {
                "": root / place.strip("/") / "memory.events",
                "memory": root / "memory" / place.strip("/") / "memory.oom_control",
            }
            file = files.get(controllers)
            if file is None or not file.exists():
                continue
            found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
            if found:
                return int(found[1])
    except (OSError, ValueError):
        pass
    return 0


class Deaths(logging.Filter):
    """Filters the records of the pool and of Celery's requests about dead children."""

    def __init__(self) -> None:
        """Expect no death."""
        super().__init__()
        self._expected: set[int] = set()
        self._requests = 0
        """How many requests of expected deaths Celery has yet to log."""
        self._ended: dict[int, str] = {}
        self._killed_for_memory = kills_for_memory()

    def expect(self, pid: int) -> None:
        """Note that the keeper is about to kill a child and has logged it."""
        self._expected.add(pid)

    def describe(self, pid: int, status: str = "") -> str:
        """Return how a child of the pool ended, as text.

        `status` is that of the pool, if the pool has not logged it yet. It logs every
        status but exit code 0.
        """
        status = status or self._ended.pop(pid, "exitcode 0")
        kind, _, what = status.partition(" ")
        if kind == "exitcode":
            return f"the last worker ended with exit code {what}"
        before, self._killed_for_memory = self._killed_for_memory, kills_for_memory()
        memory = ""
        if self._killed_for_memory > before:
            memory = ": the kernel kills for memory in its cgroup"
        return f"the last worker was ended by {status}{memory}"

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop records of deaths that the keeper has logged, and Celery's tracebacks."""
        if record.name == POOL:
            return not self._is_expected(record)
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(getattr(error, "exc", error), WorkerLostError):
            return True
        if self._requests:
            self._requests -= 1
            return False
        record.exc_info = record.exc_text = None
        return True

    def _is_expected(self, record: logging.LogRecord) -> bool:
        # 'Process %r pid:%r exited with %r'
        args = record.args if isinstance(record.args, tuple) else ()
        if len(args) != 3 or "exited with" not in str(record.msg):
            return False
        _, pid, status = cast("tuple[str, int, object]", args)
        if len(self._ended) >= MOST_KEPT:  # These children had no claim.
            self._ended.clear()
        self._ended[pid] = str(status)
        if pid not in self._expected:
            return False
        self._expected.discard(pid)
        # The record of this child's request comes next.
        self._requests += 1
        return True


deaths = Deaths()


def install_death_log_filter() -> None:
    """Install the filter in this process; a second call changes nothing."""
    for name in (POOL, REQUEST):
        logging.getLogger(name).addFilter(deaths)
