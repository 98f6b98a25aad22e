"""The processes below one: found and ended, by what they can't choose themselves.

A process chooses its name, session and group, but not its parent, its number and when it
began. Standard library only: the launcher and the guard of a worker, which are run by
their path, use it too. Without /proc nothing below a process is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

LINUX = sys.platform.startswith("linux")

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_ROUNDS = 100

libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def prctl(option: int, value: int) -> None:
    """Call prctl(2) where there is one; a refusal is ignored (sandboxes)."""
    if libc is not None:
        libc.prctl(option, value, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """List the pids below a process, parents first."""
    found: list[int] = []
    queue = [pid] if LINUX else []
    while queue:
        below = children(queue.pop())
        found += below
        queue += below
    return found


def children(pid: int) -> list[int]:
    """List the direct children of `pid`, of all its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except FileNotFoundError:
            # The thread ended, or the kernel lacks CONFIG_PROC_CHILDREN.
            if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
                return _children_by_scan(pid)
        except OSError:
            continue
    return found


def _children_by_scan(parent: int) -> list[int]:
    """List the direct children of `parent` by reading every process's parent."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if _stat(pid)[1:2] == [b"%d" % parent]]


def began(pid: int) -> bytes:
    """Return when a process began, as the kernel counts; empty if it is gone."""
    fields = _stat(pid)
    return fields[19] if fields else b""


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third, the state, on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold spaces and brackets: split after the last.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def send(pid: int, since: bytes, number: int) -> None:
    """Signal the process that began then, and none that has its number since."""
    with contextlib.suppress(OSError):
        if not hasattr(os, "pidfd_open") or not LINUX:
            os.kill(pid, number)
            return
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:  # no room for one more, or an old kernel
            if began(pid) == since:
                os.kill(pid, number)
            return
        try:
            if began(pid) == since:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def end_tree(root: int) -> int:
    """Kill a process and everything below it; returns how many there were.

    All is stopped first, until nothing new is found: what is stopped starts nothing and
    ends nobody, and no child goes to another parent while it is looked for.
    """
    found: dict[int, bytes] = {}
    for _ in range(_ROUNDS):
        new = [pid for pid in (root, *descendants(root)) if pid not in found]
        if not new:
            break
        for pid in new:
            found[pid] = began(pid)
            send(pid, found[pid], signal.SIGSTOP)
    for pid, since in found.items():
        send(pid, since, signal.SIGKILL)
    return len(found)
