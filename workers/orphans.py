"""What outlives the processes that started it, ended by the nearest that looks after it.

A guard adopts what its worker leaves, the command that started guards what a killed guard
leaves. Standard library only: the guard, which is run by its path, uses it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from workers.kin import PR_SET_CHILD_SUBREAPER, children, end_tree, prctl

COURTEOUS = (b"workers/process/launcher.py", b"\0django\0steward\0")
"""What is called so sees the end of its worker by itself and has things to put in order:
it is given COURTESY_S for that. Anything may call itself so, hence no longer.
"""
COURTESY_S = 10.0


def courtesy(pid: int) -> float:
    """Return how long a process may take that calls itself one that ends by itself."""
    return COURTESY_S if is_called(pid, COURTEOUS) else 0.0


class Orphans:
    """The children of this process that it has not started."""

    def __init__(
        self, known: Callable[[int], bool], patience: Callable[[int], float] = courtesy
    ) -> None:
        """Adopt what is left from now on, without children that are `known`.

        `patience` says for how many seconds one may end by itself.
        """
        self._known = known
        self._patience = patience
        self._since: dict[int, float] = {}
        """Since when each is here; unreaped, so its number is its own."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def tidy(self, *, all_: bool = False) -> int:
        """End what is left here; returns how much still has to go.

        What may end by itself counts only with `all_`.
        """
        now, waits = time.monotonic(), 0
        since: dict[int, float] = {}
        for pid in children(os.getpid()):
            if self._known(pid) or reaped(pid):
                continue
            since[pid] = self._since.get(pid, now)
            if now - since[pid] < self._patience(pid):
                waits += all_
            else:
                waits += 1
                end_tree(pid)
        self._since = since
        return waits

    def sweep(self, seconds: float, *, finally_: bool = False) -> None:
        """End all that is left here, in so many seconds.

        What may end by itself is waited for only when all comes to its end, and told so.
        """
        told: set[int] = set()
        until = time.monotonic() + seconds
        while self.tidy(all_=finally_) and time.monotonic() < until:
            for pid in set(self._since) - told if finally_ else ():
                told.add(pid)
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(0.01)

    def release(self) -> None:
        """Adopt nothing more."""
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def reaped(pid: int) -> bool:
    """Reap a child if it has ended; tell whether it is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def is_called(pid: int, marks: tuple[bytes, ...]) -> bool:
    """Tell whether one of these is in the command line of a process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return False
    return any(mark in command for mark in marks)
