"""Outputs in files of one folder, which all hosts of an installation share.

A content is the file `ROOT/ab/abcd…`, whose time is that of its last put. Whoever puts or
deletes holds the lock of `ROOT/ab`, which ends with its process.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from engine.output_store import OutputMissing, OutputsAway, name_of

IN_VAR: Final = "outputs"
"""The folder in VAR_DIR for contents where SWARM_OUTPUTS is `files`."""
_LOCK: Final = "lock"
_DRAFT: Final = "draft"
_MOUNTS: Final = Path("/proc/self/mounts")
_SHARED: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "9p",
        "virtiofs",
    }
)
"""The file systems that several hosts have at once."""
_OURS: Final = 0o700
_FOLDER: Final = re.compile("[0-9a-f]{2}")
_NAME: Final = re.compile("[0-9a-f]{64}")


def installed_store() -> "FileOutputs":
    """Return the store of this installation."""
    place: str = settings.SWARM_OUTPUTS
    root = Path(place) if os.path.isabs(place) else Path(settings.VAR_DIR, IN_VAR)
    return FileOutputs(root)


class FileOutputs:
    """Keeps outputs in files; the methods are those of OutputStore."""

    def __init__(self, root: Path) -> None:
        """Name the folder, which is made by the first put."""
        self.root = root

    def put(self, content: bytes) -> str:
        """Keep a content and return its name; a lost power keeps what was put."""
        sha256 = name_of(content)
        with self._explained("written"):
            folder = self._folder(sha256)
            if not folder.is_dir():
                self.root.mkdir(mode=_OURS, parents=True, exist_ok=True)
                folder.mkdir(mode=_OURS, exist_ok=True)
                _sync(self.root)
            with _locked(folder):
                if _is_whole(folder / sha256, len(content)):
                    _stamp(folder / sha256)
                else:
                    _write(folder, sha256, content)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return a content, which has the hash that names it."""
        with self._explained("read"):
            try:
                content = (self._folder(sha256) / sha256).read_bytes()
            except FileNotFoundError:
                raise OutputMissing(f"{self.root} has no output {sha256}") from None
        if name_of(content) != sha256:
            raise OutputMissing(f"{self.root} has other bytes under the name {sha256}")
        return content

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete a content if its last put was before a time; return whether it was."""
        with self._explained("written"):
            folder = self._folder(sha256)
            try:
                with _locked(folder):
                    if _put_at(folder / sha256) >= before:
                        return False
                    (folder / sha256).unlink()
            except FileNotFoundError:
                return False
        return True

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names greater than `after`, in order, with the times of their last puts.

        What a killed put has left of its draft is removed on the way.
        """
        with self._explained("read"):
            folders = self._entries(self.root, _FOLDER)
        for two in folders:
            if two < after[:2]:
                continue
            found = []
            with self._explained("read"):
                folder = self.root / two
                _drop_draft(folder)
                for name in self._entries(folder, _NAME):
                    try:
                        found.append((name, _put_at(folder / name)))
                    except FileNotFoundError:
                        continue
            yield from (one for one in found if one[0] > after)

    def room(self) -> int | None:
        """Return how many bytes its file system has room for; None before its first put."""
        with self._explained("read"):
            try:
                found = os.statvfs(self.root)
            except FileNotFoundError:
                return None
        return found.f_bavail * found.f_frsize

    def reach(self) -> str:
        """Return, for people, which hosts see it: what kind of file system it is on."""
        kind = _file_system(self.root)
        if kind in _SHARED or kind.startswith("fuse."):
            return f"on {kind}, which other hosts can mount"
        return f"on {kind or 'a file system'} of this host alone"

    def __str__(self) -> str:
        return str(self.root)

    def _folder(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise OutputMissing(f"no output is named {ascii(sha256)[:80]}")
        return self.root / sha256[:2]

    def _entries(self, folder: Path, names: re.Pattern[str]) -> list[str]:
        return sorted(name for name in os.listdir(folder) if names.fullmatch(name))

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise OutputsAway(
                f"the outputs in {self.root} can't be {what} ({why})"
            ) from error


def _file_system(path: Path) -> str:
    """Return the kind of the file system that a path is on, empty where that is unknown."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    path = path.resolve()
    found = [
        (len(where), kind)
        for _, where, kind, *_ in mounts
        # A space in a path is `\\040` there.
        if path.is_relative_to(where.replace("\\040", " "))
    ]
    return max(found, default=(0, ""))[1]


def _put_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime_ns // 1_000 / 1e6, UTC)


def _stamp(path: Path) -> None:
    # The clock that the kernel stamps files with is some milliseconds late.
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file as a whole or not at all; the caller holds the folder's lock."""
    draft = folder / _DRAFT
    try:
        with open(draft, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _stamp(draft)
        draft.replace(folder / name)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync(folder)


def _is_whole(path: Path, size: int) -> bool:
    """Return whether a file is there and was not cut by an incomplete copy."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Keep the names in a folder over a loss of power."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


def _drop_draft(folder: Path) -> None:
    if (folder / _DRAFT).exists():
        with _locked(folder):
            (folder / _DRAFT).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; FileNotFoundError if there is no folder."""
    with open(folder / _LOCK, "ab", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # A process that was forked meanwhile has the same open file.
            fcntl.flock(lock, fcntl.LOCK_UN)
