"""Keeps descriptors 0 to 2 open in a process that runs agents' code, whatever that closes.

Without them, the next file that is opened takes one of their numbers: a connection to
Redis receives what is printed, and programs are started with the wrong files.
"""

from __future__ import annotations

import os
from fcntl import F_GETFD, FD_CLOEXEC, fcntl


class StandardDescriptors:
    """Remembers the files behind descriptors 0 to 2 and restores them."""

    def __init__(self) -> None:
        """Copy the descriptors to the first free numbers, where closing shows early."""
        self.broken = False
        """Whether agents' code has closed descriptors that this process needs."""
        for fd in range(3):
            if not _is_inheritable(fd):
                _open_null(fd)
        self._copies = [os.dup(fd) for fd in range(3)]
        self._files = [_file_of(copy) for copy in self._copies]

    def check(self) -> bool:
        """Restore descriptors 0 to 2; return whether others have been closed by now.

        Programs inherit standard descriptors and no descriptor that Python or a library
        opens. So one flag of each shows both that it is open and that it is the old one.
        """
        try:
            flags = fcntl(0, F_GETFD) | fcntl(1, F_GETFD) | fcntl(2, F_GETFD)
            if not flags & FD_CLOEXEC and fcntl(self._copies[0], F_GETFD):
                return False
        except OSError:
            pass
        for fd, copy, file in zip(range(3), self._copies, self._files, strict=True):
            if _is_inheritable(fd):
                continue
            if _file_of(copy) == file:
                os.dup2(copy, fd)
            else:
                _open_null(fd)
        was_broken = self.broken
        self.broken = was_broken or _file_of(self._copies[0]) != self._files[0]
        return self.broken and not was_broken


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _file_of(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open_null(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == fd:
        os.set_inheritable(fd, True)
        return
    os.dup2(null, fd)
    os.close(null)


_current: list[StandardDescriptors] = []
"""Those of this process; a fork begins without them."""
os.register_at_fork(after_in_child=_current.clear)


def remember_descriptors() -> None:
    """Remember descriptors 0 to 2 of this process, once."""
    if not _current:
        _current.append(StandardDescriptors())


def check_descriptors() -> bool:
    """Restore descriptors 0 to 2; return whether others have been closed by now.

    Then the connections and pipes of this process may be files of somebody else: the
    process has to be replaced.
    """
    return bool(_current) and _current[0].check()


def has_lost_descriptors() -> bool:
    """Return whether agents' code has closed descriptors that this process needs."""
    return bool(_current) and _current[0].broken
