"""One steward candidate per host: the worker takes a file lock, the steward inherits it.

The lock belongs to the open file, so it holds exactly as long as the steward lives; a
second worker of the host just fails to take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from workers.transport import state_address


def steward_lock() -> Path:
    """Return the file whose lock the steward of this host and this Redis holds."""
    # One a Redis: a worker that was started for another must not be in the way.
    place = hashlib.sha256(str(state_address()).encode()).hexdigest()[:12]
    return Path(settings.VAR_DIR) / f"steward-{place}.lock"


def leaving_steward() -> int | None:
    """Return the process id of a steward whose worker has ended; None without one.

    0 where its worker was killed before it could note the id.
    """
    try:
        with open(steward_lock(), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                worker, *steward = map(int, file.read().split())
                try:
                    os.kill(worker, 0)
                except ProcessLookupError:
                    return steward[0] if steward else 0
    # No steward was ever here, or its worker is just noting itself.
    except (OSError, ValueError):
        return None
    return None


class StewardHost:
    """Spawns the steward when this host has none and ends it with the worker."""

    def __init__(self, lock: Path | None = None) -> None:
        """Use `lock`, by default a file in the installation's var directory."""
        self._lock = lock or steward_lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._stopping = False

    def tick(self) -> None:
        """Spawn a steward if none of this host holds the lock; called once a second."""
        if self._stopping:
            return
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._close()
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            # Whose it is: a command waits only for a steward whose worker has ended.
            os.ftruncate(fd, 0)
            os.write(fd, str(os.getpid()).encode())
            self._spawn(fd)
            if self._process is not None:
                os.write(fd, f" {self._process.pid}".encode())
        finally:
            os.close(fd)

    def _spawn(self, fd: int) -> None:
        reading, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "django", "steward"],
                stdin=reading,
                pass_fds=[fd],
                # Signals to the worker's group don't reach it. It stays in the worker's
                # session, which on Linux is what processor time is shared out by.
                process_group=0,
                cwd=settings.BASE_DIR,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": os.environ.get(
                        "DJANGO_SETTINGS_MODULE", "swarm_project.settings"
                    ),
                },
            )
        finally:
            os.close(reading)

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
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = None
