"""Read whole regular files of a bounded size; a pipe or device can't block a loader."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 * 1024 * 1024

# Opening a pipe would wait for a writer without O_NONBLOCK.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# O_PATH (Linux) opens folders without read permission.
_FOLDER: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
)
_REASONS: Final = {
    # Opening a socket fails so.
    errno.ENXIO: "not a regular file",
    errno.ELOOP: "can't be read: a symbolic link is in its path",
    errno.ENOTDIR: "can't be read: a file or symbolic link is where a folder should be",
}


class FileUnreadable(Exception):
    """A file that can't be read; the text has the reason without the name."""


class FileTooLong(FileUnreadable):
    """A file of more bytes than the caller's limit."""


def real_path(path: str | Path) -> str:
    """Return the path behind all symbolic links; raises FileUnreadable.

    Open the result with `follow` false: a link may replace a folder in the meantime.
    """
    try:
        return os.path.realpath(path)
    except OSError as error:
        # Another program removed a link, or the working directory.
        raise FileUnreadable(_reason(error)) from None


def read_file(path: str | Path, *, follow: bool = True, most: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file of at most `most` bytes; raises FileUnreadable.

    Without `follow`, `path` is absolute and no part of it may be a symbolic link, not
    even one that replaces a folder while the file is opened.
    """
    try:
        fd = os.open(path, _FILE) if follow else _open_without_links(os.fspath(path))
    except OSError as error:
        raise FileUnreadable(_reason(error)) from None
    except ValueError:
        raise FileUnreadable("can't be read: its name has a null character") from None
    try:
        # Check this first: os.fdopen of a folder raises another error.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileUnreadable("not a regular file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise FileUnreadable(_reason(error)) from None
    finally:
        os.close(fd)
    if len(content) > most:
        also = " (4 MiB)" if most == MAX_BYTES else ""
        raise FileTooLong(f"longer than {most} bytes{also}")
    return content


def read_text(path: str | Path) -> str:
    """Return the text of a regular UTF-8 file; raises FileUnreadable."""
    return decoded(read_file(path))


def decoded(content: bytes) -> str:
    """Decode UTF-8; raises FileUnreadable."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"byte {error.start}: not UTF-8") from None


def _open_without_links(path: str) -> int:
    """Open each folder of a path relative to the one above it, and then the file."""
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
