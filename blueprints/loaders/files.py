"""Reads whole files of a bounded size: regular ones only, so nothing ever waits."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 * 1024 * 1024

# Opening a pipe would wait for a writer without O_NONBLOCK.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# With O_PATH (Linux) a folder need not be readable to lead on.
_FOLDER: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
)
_REASONS: Final = {
    # A socket can't even be opened.
    errno.ENXIO: "not a regular file",
    errno.ELOOP: "can't be read: a symbolic link is in its way",
    errno.ENOTDIR: "can't be read: a file or symbolic link is where a folder should be",
}


class Unreadable(Exception):
    """A file that can't be read; the text says why and does not name it."""


class TooLong(Unreadable):
    """A file of more bytes than are wanted."""


def real_path(path: str | Path) -> str:
    """Returns where a path leads now, behind all links; raises Unreadable.

    What is opened later by it is opened with `follow` false, or may be another file.
    """
    try:
        return os.path.realpath(path)
    except OSError as error:
        # A link was taken away meanwhile, or the working directory is gone.
        raise Unreadable(_reason(error)) from None


def read_file(path: str | Path, *, follow: bool = True, most: int = MAX_BYTES) -> bytes:
    """Returns what is in a regular file of at most `most` bytes; raises Unreadable.

    Without `follow`, `path` is absolute and no part of it may be a symbolic link, also
    one that a folder is swapped for meanwhile.
    """
    try:
        fd = os.open(path, _FILE) if follow else _open_without_links(os.fspath(path))
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    except ValueError:
        raise Unreadable("can't be read: its name holds a null character") from None
    try:
        # Before it becomes a file: that fails in its own way for a folder.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    finally:
        os.close(fd)
    if len(content) > most:
        also = " (4 MiB)" if most == MAX_BYTES else ""
        raise TooLong(f"longer than {most} bytes{also}")
    return content


def _open_without_links(path: str) -> int:
    """Opens a file from folder to folder, each by the descriptor of the one before."""
    *folders, name = path.split("/")[1:]
    at = os.open("/", _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0) or f"can't be read: {error.strerror or error}"
