"""Ends a fork that agents' code has made of this process, where it returns to our code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from engine.visible import visible


def end_fork(worker_pid: int) -> None:
    """End this process if it is a fork of the worker process that called agents' code.

    Called in a `finally` around agents' code: only the process that has the claim may
    commit, raise or continue.
    """
    if os.getpid() != worker_pid:
        _exit_with(sys.exc_info()[1])


def _exit_with(error: BaseException | None) -> NoReturn:
    """Exit as Python would, without what the original process does at its exit."""
    code, text = 0, ""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
        text = error.code if isinstance(error.code, str) else ""
    elif error is not None:
        code, text = 1, f"{type(error).__name__}: {error}"
    try:
        if text:
            # Quoted: the text of an error may contain commands for a terminal.
            line = f"a process that an agent's function forked ended: {text[:500]!a}"
            sys.stderr.write(visible(f"{line}\n"))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
