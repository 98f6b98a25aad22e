"""Keeps a process's memory and environment from others of the same user.

A worker is started with secrets in its environment, and /proc would show them to every
child process of an agent. Linux only: elsewhere nothing is done.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from workers.kin import PR_SET_DUMPABLE, prctl

MOUNTS: Final = Path("/proc/self/mounts")


def hide() -> None:
    """Make this process one that only the system's administrator may look into.

    Forked children inherit that, programs that are started do not. It also ends core
    dumps, and debuggers need root. Where /proc is mounted with `hidepid` it is not
    done: the worker's own processes could not be found any more.
    """
    if may_hide():
        prctl(PR_SET_DUMPABLE, 0)


def may_hide() -> bool:
    """Tell whether our own processes would still be found if they hid themselves."""
    return os.geteuid() == 0 or not proc_hides()


def proc_hides() -> bool:
    """Tell whether /proc shows a process only to those who may trace it."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    mounts = [line.split() for line in lines]
    options = [each[3] for each in mounts if len(each) > 3 and each[1] == "/proc"]
    # The last mount covers those before.
    return any(
        name == "hidepid" and value not in ("0", "off")
        for option in options[-1:]
        for name, _, value in (word.partition("=") for word in option.split(","))
    )
