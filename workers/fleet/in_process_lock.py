"""The lock of a command that does steps in its own process: it works alone in its folder.

Workers would do its steps in processes without a terminal, and it would do theirs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.command_line import typed
from workers.fleet.prerequisites import SetupFailed
from workers.fleet.records import shared_fleets
from workers.fleet.unserved_queues import served_queues
from workers.process.posix import is_locked, locker_pid, try_lock, write_note
from workers.steward.candidate import steward_lock

ENDING_S: Final = 10.0
"""How long workers of a command that was killed may take to end by themselves."""


def in_process_lock() -> Path:
    """Return the lock file of the command that does steps in its own process."""
    return Path(settings.VAR_DIR) / "in-process.lock"


def refuse_beside_in_process() -> None:
    """Raise SetupFailed while a command does steps in its own process."""
    path = in_process_lock()
    if not is_locked(path):
        return
    pid = locker_pid(path)
    who = f"process {pid}" if pid else "another process"
    raise SetupFailed(
        f"{who[0].upper()}{who[1:]} does steps with --in-process, and no workers or second"
        " such command may run beside it: wait until it has ended, or end it with Ctrl-C in"
        " its terminal, and run this again."
    )


def work_alone() -> int:
    """Take the lock once no worker runs; return its descriptor, which holds it.

    Raise SetupFailed if another process has it, if workers run, or if they can't be asked.
    The lock is taken first, so that no worker starts after the check.
    """
    fd = try_lock(in_process_lock())
    if fd is None:
        refuse_beside_in_process()
        # Its owner has ended since.
        return work_alone()
    try:
        write_note(fd, str(os.getpid()))
        _await_no_worker()
    except BaseException:
        os.close(fd)
        raise
    return fd


def _await_no_worker() -> None:
    """Wait for workers that are ending; raise SetupFailed if some go on."""
    until = time.monotonic() + ENDING_S
    while _is_served():
        # Recorded ones go on until they are ended.
        recorded = any(fleet.queues for fleet in shared_fleets())
        if recorded or time.monotonic() >= until:
            raise SetupFailed(
                "Workers are running, which would do steps of this run in their own"
                f" processes. End them with: {typed('up --stop')} or end the command that"
                " started them; those of a command that was killed end when their steps"
                " have ended, within 30 s. Then run this again."
            )
        time.sleep(0.2)


def _is_served() -> bool:
    """Return whether a worker runs: on this host, or elsewhere with the same Redis."""
    if is_locked(steward_lock()):
        return True
    served = served_queues()
    if served is None:
        raise SetupFailed(
            "Workers can't be asked whether they run, and would do steps of this run in"
            " their own processes: Redis answers none of what `celery inspect` sends. Check"
            f" it with: {typed('doctor')} and run this again."
        )
    return bool(served)
