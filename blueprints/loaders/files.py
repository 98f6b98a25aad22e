"""Reads whole files of a bounded size: regular ones only, so nothing ever waits."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 * 1024 * 1024


class Unreadable(Exception):
    """A file that can't be read; the text says why and does not name it."""


def read_file(path: str | Path, *, follow: bool = True) -> bytes:
    """Returns what is in a regular file of at most 4 MiB; raises Unreadable.

    Without `follow`, a symbolic link is refused: `path` is thought to have none left.
    """
    # Opening a pipe would wait for a writer without O_NONBLOCK.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except OSError as error:
        # A socket can't even be opened.
        if error.errno == errno.ENXIO:
            raise Unreadable("not a regular file") from None
        raise Unreadable(_reason(error)) from None
    except ValueError:
        raise Unreadable("can't be read: its name holds a null character") from None
    try:
        # Before it becomes a file: that fails in its own way for a folder.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    finally:
        os.close(fd)
    if len(content) > MAX_BYTES:
        raise Unreadable(f"longer than {MAX_BYTES} bytes (4 MiB)")
    return content


def _reason(error: OSError) -> str:
    return f"can't be read: {error.strerror or error}"
