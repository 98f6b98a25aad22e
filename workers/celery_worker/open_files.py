"""The limit of open files that a worker needs: sockets and pipes are files, too."""

from __future__ import annotations

import os
import resource
from typing import Final

ALONE: Final = 64
"""Files of a worker's main process: code, log, Redis, its steward, and some spare."""
A_CHILD: Final = 5
"""Files for each child of its pool: pipes for work, results and its end."""


def files_fault(concurrency: int | None = None) -> str:
    """Raise the soft limit of open files if needed; return why that is impossible.

    The text is empty if the limit suffices.
    """
    needed = ALONE + A_CHILD * (concurrency or os.cpu_count() or 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ""
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return ""
    return (
        f"only {hard} files may be open here (`ulimit -n`), and a worker of this size"
        f" needs at least {needed}: steps would stall without a word; raise the limit"
        f" (`ulimit -Hn`, LimitNOFILE of the service) or lower --concurrency"
    )
