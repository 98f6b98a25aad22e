"""Processes that agents' code left behind in a worker child: found and ended.

Launchers look after what is below them and are spared: those that this process has
started and not let go, whatever else may call itself so. Linux only: elsewhere nothing
is found.
"""

from __future__ import annotations

import contextlib
import os

from workers.kin import PR_SET_CHILD_SUBREAPER, children, end_tree, prctl

_spared: set[int] = set()
"""Children that nobody has waited for, so that their numbers are their own."""
_adopting: list[int] = []


def adopt_orphans() -> None:
    """Make grandchildren whose parent dies children of this process."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    _adopting[:] = [os.getpid()]


def adopts_orphans() -> bool:
    """Tell whether all that is below this process is its own to end."""
    return _adopting == [os.getpid()]


def spare(pid: int) -> None:
    """Leave a child of this process, and what is below it, alone."""
    _spared.add(pid)


def let_go(pid: int) -> None:
    """Spare a child no more."""
    _spared.discard(pid)


def strays() -> list[int]:
    """Return the children of this process that are not spared."""
    return [pid for pid in children(os.getpid()) if pid not in _spared]


def end_own_offspring() -> int:
    """Kill and reap what is below this process; returns how many were found."""
    count = 0
    for _ in range(20):
        pids = strays()
        if not pids:
            break
        for pid in pids:
            count += end_tree(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return count
