"""What a worker's log says of children that died: one plain line each.

Celery prints a traceback of its own pool for every such child. One that the keeper
killed has had the keeper's line; of all others the signal is what matters.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from celery.exceptions import WorkerLostError

POOL: Final = "multiprocessing"
REQUEST: Final = "celery.worker.request"
MOST_KEPT: Final = 256
CGROUPS: Final = Path("/sys/fs/cgroup")


def kills_for_memory(mine: str | None = None, root: Path = CGROUPS) -> int:
    """Return how often the kernel has killed in our cgroup for memory, as far as it tells.

    `mine` is what /proc/self/cgroup says; both versions of cgroups are read.
    """
    try:
        said = Path("/proc/self/cgroup").read_text() if mine is None else mine
        for line in said.splitlines():
            _, controllers, place = line.split(":", 2)
            files = {
                "": root / place.strip("/") / "memory.events",
                "memory": root / "memory" / place.strip("/") / "memory.oom_control",
            }
            file = files.get(controllers)
            if file is None or not file.exists():
                continue
            for name, _, count in (
                each.partition(" ") for each in file.read_text().splitlines()
            ):
                if name == "oom_kill":
                    return int(count)
    except (OSError, ValueError):
        pass
    return 0


class Deaths(logging.Filter):
    """Filters the records of the pool and of Celery's requests about dead children."""

    def __init__(self) -> None:
        """Expect no death."""
        super().__init__()
        self._expected: set[int] = set()
        self._told = 0
        self._ended: dict[int, str] = {}
        self._killed_for_memory = kills_for_memory()

    def expect(self, pid: int) -> None:
        """Note that this process is about to kill a child and has said so."""
        self._expected.add(pid)

    def how(self, pid: int, status: str = "") -> str:
        """Say how a child of the pool ended that its pool has missed.

        `status` is the pool's word for it, if it has not told it yet. It tells of every
        end but that with exit code 0.
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
        if len(args) != 3 or "exited with" not in str(record.msg):
            return False
        _, pid, status = args
        if len(self._ended) >= MOST_KEPT:  # of children that had nothing in hand
            self._ended.clear()
        self._ended[pid] = str(status)
        if pid not in self._expected:
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
