"""The files of the embedded server: its folder, locks, socket and description.

Whoever may write to the server runs programs as the user of its workers. So it listens
on a unix socket alone, in a folder that only its user may enter, and a description that
could be somebody else's, or another installation's, is none.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

PRIVATE: Final = 0o700
SOCKET: Final = "redis.sock"
ROOT: Final = 0
"""The user who can replace every folder anyway."""
RECORD_MAX: Final = 64 << 10
"""Characters that are read of a description: a path has at most 4096 bytes."""
SOCKET_PATH_MAX: Final = 103
"""Bytes in the path of a unix socket: the smallest of the systems' limits."""


def socket_url(path: str) -> str:
    """Return the URL of a server at a unix socket."""
    return f"unix://{quote(path)}?db=0"


NOWHERE: Final = socket_url("/dev/null/no-server")
"""What settings name where there is neither SWARM_REDIS_URL nor a server.

No file can be made below a device, so nobody ever answers there.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What `redis.json` says of the server that runs."""

    socket: str
    pid: int
    run_id: str
    supervisor_pid: int
    data_dir: str


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one embedded server below `var`."""

    var: Path

    @property
    def record(self) -> Path:
        """The description of the running server."""
        return self.var / "redis.json"

    @property
    def lock(self) -> Path:
        """Locked by whoever starts, adopts or stops the server."""
        return self.var / "redis.lock"

    @property
    def users(self) -> Path:
        """Locked (shared) by every holder for its lifetime."""
        return self.var / "redis.users"

    @property
    def keep(self) -> Path:
        """Exists while the server is to run without holders."""
        return self.var / "redis.keep"

    @property
    def data(self) -> Path:
        """The server's directory: data, logs, socket."""
        return (self.var / "redis").resolve()

    @property
    def supervisor(self) -> Path:
        """Locked by the supervisor for its lifetime; holds its pid."""
        return self.data / "supervisor.lock"

    @property
    def server(self) -> Path:
        """Locked by the server itself (an inherited descriptor); holds its pid."""
        return self.data / "server.lock"

    @property
    def log(self) -> Path:
        """What the server and the supervisor print."""
        return self.data / "server.log"


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock `path` (created when absent); the descriptor, or None if it is held."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def lock(path: Path, seconds: float, *, shared: bool = False) -> int:
    """Lock `path`, waiting up to `seconds`; TimeoutError names it when it is held."""
    deadline = time.monotonic() + seconds
    while (fd := try_lock(path, shared=shared)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path} has been locked for {seconds:g} s")
        time.sleep(0.01)
    return fd


def unlock(fd: int) -> None:
    """Release a lock, for the copies that forked children have as well."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def note_pid(fd: int, pid: int) -> None:
    """Write a pid into a lock file, over the last one: so a full disk takes it too."""
    os.pwrite(fd, f"{pid:<20}".encode(), 0)


def is_locked(path: Path) -> bool:
    """Tell whether another process holds `path`."""
    if not path.exists():
        return False
    fd = try_lock(path)
    if fd is None:
        return True
    os.close(fd)
    return False


def locker_pid(path: Path) -> int | None:
    """Return the pid written into a lock file that is held, None when it is free."""
    if not is_locked(path):
        return None
    try:
        return int(path.read_text())
    except ValueError:
        return None


def keep_private(var: Path) -> None:
    """Close the folder of an installation to other users, where it is this user's.

    A shared one with the sticky bit, in which nobody can replace what is another's,
    stays as it is. So does one that can't be written at all: `doctor` tells its mode,
    and no server starts there.
    """
    found = var.stat()
    mine = found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX
    if mine and stat.S_IMODE(found.st_mode) != PRIVATE:
        try:
            var.chmod(PRIVATE)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise


def make_private(path: Path) -> None:
    """Make a folder that only this user may enter, whatever its mode was.

    PermissionError tells why where that can't be.
    """
    path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    me = os.geteuid()
    for folder, owners in ((path.parent, (me, ROOT)), (path, (me,))):
        if folder.lstat().st_uid not in owners:
            raise PermissionError(
                f"{folder} belongs to another user, who could put a server of their own"
                " there: work as that user, or set SWARM_VAR to a folder of your own"
            )
    if not path.is_symlink():
        path.chmod(PRIVATE)
    if not is_private(path):
        raise PermissionError(
            f"{path} can't be closed to other users: set SWARM_VAR to a folder that only"
            " you can write to"
        )


def is_private(path: Path) -> bool:
    """Tell whether a folder is closed to other users, and none of them can replace it."""
    try:
        here, above = path.lstat(), path.parent.stat()
    except OSError:
        return False
    closed = stat.S_ISDIR(here.st_mode) and stat.S_IMODE(here.st_mode) == PRIVATE
    open_above = above.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    kept = not open_above or above.st_mode & stat.S_ISVTX
    me = os.geteuid()
    return bool(closed and kept and here.st_uid == me and above.st_uid in (me, ROOT))


def socket_folder(paths: Paths) -> Path:
    """Return the folder for the socket, made private: that of the data, or a short one.

    A socket's path may have SOCKET_PATH_MAX bytes, and a checkout may lie deeper. The
    short folder stays when the server has ended: a stranger's in its place would get
    the workers that still ask for it. OSError tells why there is none.
    """
    if fits(paths.data):
        make_private(paths.data)
        return paths.data
    digest = hashlib.sha256(os.fsencode(paths.data)).hexdigest()[:12]
    name = f"swarm-{os.geteuid()}-{digest}"
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - made private, or refused
        folder = Path(parent).resolve() / name
        if fits(folder):
            make_private(folder)
            return folder
    raise OSError(
        f"the path of a socket in {paths.data} would be longer than {SOCKET_PATH_MAX}"
        " bytes: set SWARM_VAR to a shorter path"
    )


def fits(folder: Path) -> bool:
    """Tell whether a socket in a folder has a path that the system takes."""
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_MAX


def read_record(paths: Paths) -> Record | None:
    """Read `redis.json`; None when it is absent, incomplete or can't be trusted.

    It is trusted if this user wrote it, for the server of these very files, whose socket
    lies where nobody else can put one.
    """
    try:
        # Another user may have put anything there: a pipe would be waited for.
        fd = os.open(paths.record, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd) as file:
            kind = os.fstat(fd)
            theirs = kind.st_uid != os.geteuid() or not stat.S_ISREG(kind.st_mode)
            found: dict[str, Any] = {} if theirs else json.loads(file.read(RECORD_MAX))
        record = Record(**{f.name: found[f.name] for f in dataclasses.fields(Record)})
        folder = Path(record.socket).parent
        elsewhere = record.data_dir != str(paths.data)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if elsewhere or not is_private(folder) else record


def write_record(paths: Paths, record: Record) -> None:
    """Replace `redis.json` as a whole, for this user's eyes only."""
    draft = paths.record.with_suffix(f".{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n")
        draft.replace(paths.record)
    finally:
        draft.unlink(missing_ok=True)


def tail(path: Path, size: int = 2000) -> str:
    """Return the end of a log file, for an error message."""
    try:
        return path.read_bytes()[-size:].decode("utf-8", "replace")
    except OSError:
        return ""
