"""One writer for each Blueprint: a file lock that ends with its process.

The locks of git itself outlive a killed process. The holder therefore notes what it is
about to lock, and who finds the note of a dead holder removes that lock.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from engine.blueprint_store import StoreBusy

WAIT_S: Final = 10.0
"""How long a writer waits for another one."""
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.005


class Holdings:
    """The locks of one repository, each named by what it is for."""

    def __init__(self, repository: Path, wait_s: float = WAIT_S) -> None:
        """Keep the lock files in a folder of the repository."""
        self._repository = repository
        self._folder = repository / "swarm-locks"
        self._wait_s = wait_s
        self._mine = threading.local()

    @contextmanager
    def hold(self, name: str, what: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a lock; raise StoreBusy, which says `what` is being changed, after a time.

        Without `wait` it is raised at once. May be nested in a thread.
        """
        held: dict[str, int] = self._mine.__dict__
        if name in held:
            yield
            return
        self._folder.mkdir(exist_ok=True)
        file = os.open(
            self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
        try:
            self._wait_for(file, what, self._wait_s if wait else 0.0)
            self._clear(file)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            held[name] = file
            try:
                yield
            finally:
                del held[name]
                os.ftruncate(file, 0)
        finally:
            os.close(file)

    @contextmanager
    def moving(self, name: str, ref: str) -> Iterator[None]:
        """Note that the holder of `name` has git lock a file of the repository."""
        file: int = self._mine.__dict__[name]
        size = os.fstat(file).st_size
        os.pwrite(file, f"{ref}\n".encode(), size)
        try:
            yield
        finally:
            os.ftruncate(file, size)

    def _wait_for(self, file: int, what: str, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    holder = os.pread(file, 20, 0).decode().partition("\n")[0]
                    raise StoreBusy(
                        f"{what} is being changed by process {holder or 'unknown'} for"
                        f" more than {wait_s:g} s. Try again later."
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _clear(self, file: int) -> None:
        """Remove the locks of git that a dead holder has left behind."""
        note = os.pread(file, 4096, 0)
        if not note:
            return
        # A last line without newline was written by a process that died in it.
        for ref in note.decode("utf-8", "replace").split("\n")[1:-1]:
            with suppress(FileNotFoundError):
                (self._repository / f"{ref}.lock").unlink()
        os.ftruncate(file, 0)
