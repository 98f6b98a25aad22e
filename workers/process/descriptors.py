"""Descriptors 0 to 2 of a process in which agents' code runs: there whatever it closes.

Without them, what is opened next takes their numbers: a connection to Redis gets what is
printed, and programs are started with the wrong files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


class Standard:
    """Knows descriptors 0 to 2 as they were, and puts them back."""

    def __init__(self) -> None:
        """Keep copies, among the first numbers that are free: they tell what was closed."""
        self.pid = os.getpid()
        for fd in range(3):
            if not _there(fd):
                _nothing(fd)
        self._copies = [os.dup(fd) for fd in range(3)]
        self._known = [_identity(copy) for copy in self._copies]

    @property
    def copies_lost(self) -> bool:
        """Whether the copies were closed, and so whatever else this process had open."""
        try:
            os.get_inheritable(self._copies[0])
        except OSError:
            return True
        return False

    def restore(self) -> None:
        """Put back what was closed or taken by another file.

        Standard descriptors are inherited by programs, and what Python or a library
        opens is not: so a look at that one flag each is enough, and takes 1 µs in all.
        """
        try:
            if (
                os.get_inheritable(0)
                and os.get_inheritable(1)
                and os.get_inheritable(2)
            ):
                return
        except OSError:
            pass
        for fd in range(3):
            if _there(fd):
                continue
            copy = self._copies[fd]
            if _identity(copy) == self._known[fd]:
                os.dup2(copy, fd)
            else:
                _nothing(fd)


def _there(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _nothing(fd: int) -> None:
    """Make a descriptor one of /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == fd:
        os.set_inheritable(fd, True)
        return
    os.dup2(null, fd)
    os.close(null)


@dataclass(slots=True)
class _Process:
    """What is known of this process: its descriptors, and whether some are gone."""

    standard: Standard | None = None
    broken: bool = False


_process = _Process()


def look_after() -> bool:
    """Restore descriptors 0 to 2; tell whether others of this process were closed now.

    Then its connections and pipes may by now be somebody's files: it has to be replaced.
    """
    standard = _process.standard
    if standard is None or standard.pid != os.getpid():
        return False
    standard.restore()
    if _process.broken or not standard.copies_lost:
        return False
    _process.broken = True
    return True


def keep() -> None:
    """Note what descriptors 0 to 2 of this process are."""
    standard = _process.standard
    if standard is None or standard.pid != os.getpid():
        _process.standard, _process.broken = Standard(), False


def broken() -> bool:
    """Tell whether agents' code has closed descriptors that this process needs."""
    return _process.broken
