"""Processes that agents' code left behind in a worker child: found and ended.

Launchers look after what is below them and are spared. Linux only: elsewhere nothing
is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from engine.visible import visible
from workers.process.launcher import PR_SET_CHILD_SUBREAPER, children, prctl

LAUNCHER_MARK = b"workers/process/launcher.py"


def adopt_orphans() -> None:
    """Make grandchildren whose parent dies children of this process."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def offspring(pid: int) -> list[int]:
    """Return the pids below a process, without launchers and what is below them."""
    found: list[int] = []
    stack = [pid]
    while stack:
        for child in children(stack.pop()):
            if not _is_launcher(child):
                found.append(child)
                stack.append(child)
    return found


def _is_launcher(pid: int) -> bool:
    try:
        return LAUNCHER_MARK in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def end(pids: list[int]) -> None:
    """Kill processes; one that is gone already is as good."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_own_offspring() -> int:
    """Kill and reap what is below this process; returns how many were found."""
    if not children(os.getpid()):
        return 0
    count = 0
    for _ in range(20):
        pids = offspring(os.getpid())
        if not pids:
            break
        count += len(pids)
        end(pids)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return count


def end_fork(holder: int) -> None:
    """End this process here if it is a fork of `holder`, the one that was handed the claim.

    Called in a `finally` around agents' code: only the holder may commit, raise or go on.
    """
    if os.getpid() != holder:
        _leave(sys.exc_info()[1])


def _leave(error: BaseException | None) -> NoReturn:
    """Exit as Python would, and run nothing that belongs to the process we are a copy of."""
    code, said = 0, ""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
        said = error.code if isinstance(error.code, str) else ""
    elif error is not None:
        code, said = 1, f"{type(error).__name__}: {error}"
    try:
        if said:
            # As Python's literal: what is raised may hold a terminal's commands.
            text = f"a process that an agent's function forked ended: {said[:500]!a}"
            sys.stderr.write(visible(f"{text}\n"))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
