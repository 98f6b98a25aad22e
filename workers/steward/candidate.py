"""One steward candidate per host: the worker takes a file lock, the steward inherits it.

The lock belongs to the open file, so it lasts exactly as long as the steward lives. Other
workers of the host can't take it meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from workers.broker.transport import state_url
from workers.process.posix import read_note, try_lock, write_note


def steward_lock() -> Path:
    """Return the lock file of the steward of this host and this Redis."""
    # One file for each Redis, so that workers of two do not exclude each other.
    place = hashlib.sha256(str(state_url()).encode()).hexdigest()[:12]
    return Path(settings.VAR_DIR) / f"steward-{place}.lock"


def leaving_steward() -> int | None:
    """Return the process id of a steward whose worker has ended; None if there is none.

    The id is 0 if the worker was killed before it could note it.
    """
    words = (read_note(steward_lock()) or "").split()
    pids = [int(word) for word in words if word.isdecimal()]
    # Either the lock is free, or a worker has it and is about to note its id.
    if not pids:
        return None
    worker, *steward = pids
    try:
        os.kill(worker, 0)
    except ProcessLookupError:
        return steward[0] if steward else 0
    except PermissionError:
        pass
    return None


class StewardHost:
    """Spawns the steward when this host has none and ends it with the worker."""

    def __init__(self, lock: Path | None = None) -> None:
        """Use `lock`, by default a file in the installation's var directory."""
        self._lock = lock or steward_lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def tick(self) -> bool:
        """Spawn a steward if none of this host has the lock; return whether it did.

        Called once a second.
        """
        if self._stopping:
            return False
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self._close()
        fd = try_lock(self._lock)
        if fd is None:
            return False
        try:
            # The note names the worker: a command waits only for a steward whose worker
            # has ended.
            write_note(fd, str(os.getpid()))
            self._process = _spawn(fd)
            write_note(fd, f"{os.getpid()} {self._process.pid}")
        finally:
            os.close(fd)
        return True

    def stop(self) -> None:
        """End the steward: it sees the end of its pipe."""
        self._stopping = True
        self._close()

    def _close(self) -> None:
        self.forget()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self._process = None

    def forget(self) -> None:
        """Close this process's end of the pipe."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def _spawn(lock: int) -> subprocess.Popen[bytes]:
    """Start a steward that inherits the lock."""
    return subprocess.Popen(
        [sys.executable, "-m", "django", "steward"],
        stdin=subprocess.PIPE,
        pass_fds=[lock],
        # Signals to the worker's group don't reach the steward. It stays in the worker's
        # session, because Linux divides processor time between sessions.
        process_group=0,
        cwd=settings.SWARM_PROJECT_DIR,
    )
