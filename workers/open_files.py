"""How many files a worker must be allowed to have open: sockets and pipes are files, too."""

from __future__ import annotations

import os
import resource
from typing import Final

ALONE: Final = 64
"""What the main process of a worker needs: code, log, Redis, its steward, and room."""
A_CHILD: Final = 5
"""What each child of its pool adds to it: pipes for work, results and its end."""


def files_fault(concurrency: int | None = None) -> str:
    """Return what is wrong with the limit of open files, empty for nothing.

    Raises the soft limit to what is needed where the hard one allows it.
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
