"""What agents' code forks of this process ends where it would come back to our code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from engine.visible import visible


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
