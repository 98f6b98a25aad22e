"""Ends processes that outlive their parents, in the nearest process that adopts them.

A worker child ends the orphans of its agents' code, a guard those of its worker, and the
command that started guards those of a killed guard. Standard library only: the guard,
which is run by its path, uses it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from workers.process.posix import (
    become_subreaper,
    children,
    end_tree,
    is_called,
    reaped,
)

COURTEOUS = (b"workers/process/launcher.py", b"\0django\0steward\0")
"""Command lines of processes that see the end of their worker and then end by themselves.

They have COURTESY_S for that and no longer, since any process can choose this name.
"""
COURTESY_S = 10.0
OFFSPRING_S = 5.0


def courtesy(pid: int) -> float:
    """Return how many seconds a process may take to end by itself, by its command line."""
    return COURTESY_S if is_called(pid, COURTEOUS) else 0.0


class Orphans:
    """The children of this process that it has not started."""

    def __init__(
        self, known: Callable[[int], bool], patience: Callable[[int], float] = courtesy
    ) -> None:
        """Adopt orphans from now on; children that are `known` are none.

        `patience` returns how many seconds an orphan may take to end by itself.
        """
        self._known = known
        self._patience = patience
        self._since: dict[int, float] = {}
        """When each orphan was first seen. It is not reaped, so no other has its pid."""
        become_subreaper()

    def tidy(self, *, count_patient: bool = False) -> int:
        """End orphans whose time is up; return how many have not ended yet.

        Those that may end by themselves count only with `count_patient`.
        """
        now, waits = time.monotonic(), 0
        since: dict[int, float] = {}
        for pid in children(os.getpid()):
            if self._known(pid) or reaped(pid):
                continue
            since[pid] = self._since.get(pid, now)
            if now - since[pid] < self._patience(pid):
                waits += count_patient
            else:
                waits += 1
                end_tree(pid)
        self._since = since
        return waits

    def sweep(self, seconds: float, *, terminate: bool = False) -> None:
        """End every orphan, within some seconds.

        With `terminate`, those that may end by themselves get a SIGTERM and are waited
        for; without it they are left.
        """
        asked: set[int] = set()
        until = time.monotonic() + seconds
        while self.tidy(count_patient=terminate) and time.monotonic() < until:
            for pid in set(self._since) - asked if terminate else ():
                asked.add(pid)
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(0.01)

    def release(self) -> None:
        """Stop adopting orphans."""
        become_subreaper(False)


# In a worker child: launchers end the processes below them, so they are spared until this
# process releases them.

spared: set[int] = set()
"""Children that are excluded with every process below them.

They are not reaped, so that no other process has their pids.
"""
_offspring: list[Orphans] = []
"""The orphans of this process, if it adopts them; a fork of it adopts none."""
os.register_at_fork(after_in_child=_offspring.clear)


def adopt_orphans() -> None:
    """Adopt all orphans of agents' code below this process."""
    _offspring[:] = [Orphans(spared.__contains__, lambda _: 0.0)]


def adopts_orphans() -> bool:
    """Return whether this process adopts the orphans below it."""
    return bool(_offspring)


def end_offspring() -> None:
    """End the orphans below this process, if it adopts them."""
    for orphans in _offspring:
        orphans.sweep(OFFSPRING_S)
