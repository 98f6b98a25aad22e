"""The files of the embedded server: its folder, locks, socket and description.

Any client of the server can run programs as the user of its workers. So it listens only on
a unix socket, in a folder that only this user may enter, and a description that another
user could have written is ignored.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

PRIVATE: Final = 0o700
SOCKET: Final = "redis.sock"
ROOT: Final = 0
"""The user who can replace every folder."""
RECORD_MAX: Final = 64 << 10
"""The longest description that is read: a path has at most 4096 bytes."""
SOCKET_PATH_MAX: Final = 103
"""Bytes in the path of a unix socket: the smallest of the systems' limits."""
SHORT: Final = Path("/tmp")  # noqa: S108 - a private folder in it, or none
NOWHERE: Final = "unix:///dev/null/no-server?db=0"
"""The URL in the settings where there is neither SWARM_REDIS_URL nor a server.

No file can exist below a device, so no server can answer there.
"""


class ServerInfo(NamedTuple):
    """The description of the running server in `redis.json`."""

    socket_path: str
    pid: int

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"unix://{quote(self.socket_path)}?db=0"


class Paths:
    """The files of the embedded server of one `var` folder."""

    def __init__(self, var: Path) -> None:
        """Compute the paths; creates nothing."""
        self.var = var = Path(var).resolve()
        self.record = var / "redis.json"
        """Describes the running server."""
        self.lock = var / "redis.lock"
        """Locked by whoever starts, adopts or stops the server."""
        self.users = var / "redis.users"
        """Locked (shared) by every holder for its lifetime."""
        self.keep = var / "redis.keep"
        """Exists while the server is to run without holders."""
        self.data = data = (var / "redis").resolve()
        """The server's directory."""
        self.supervisor = data / "supervisor.lock"
        """Locked by the supervisor for its lifetime; contains its pid."""
        self.server = data / "server.lock"
        """Locked by the server (an inherited descriptor); contains its pid."""
        self.log = data / "server.log"
        """The output of the server and of its supervisor."""
        self.socket = data / SOCKET
        """In a short folder below /tmp where this path is too long for a socket.

        That folder stays after the end of the server: workers that still connect would
        reach the server of another user who has created it again.
        """
        if len(os.fsencode(self.socket)) > SOCKET_PATH_MAX:
            digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
            folder = SHORT.resolve() / f"swarm-{os.geteuid()}-{digest}"
            self.socket = folder / SOCKET


def keep_private(var: Path) -> None:
    """Close the folder of an installation to other users, if this user owns it.

    A shared folder with the sticky bit, in which no user can replace the files of another,
    stays as it is. So does one on a read-only file system, where no server can start.
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
    """Create a folder, or close an existing one, for this user only.

    Raises PermissionError where that is impossible.
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
    """Return whether other users can neither enter a folder nor replace it."""
    try:
        here, above = path.lstat(), path.parent.stat()
    except OSError:
        return False
    closed = stat.S_ISDIR(here.st_mode) and stat.S_IMODE(here.st_mode) == PRIVATE
    open_above = above.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    kept = not open_above or above.st_mode & stat.S_ISVTX
    me = os.geteuid()
    return bool(closed and kept and here.st_uid == me and above.st_uid in (me, ROOT))


def read_server_info(var_dir: Path) -> ServerInfo | None:
    """Return the description of the server of `var_dir`; does not connect to it.

    None without a trusted one: this user has written it, for the server of these files,
    whose socket is in a folder where no other user can create one.
    """
    paths = Paths(var_dir)
    try:
        # Another user may have created anything there: a pipe would block.
        fd = os.open(paths.record, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd) as file:
            kind = os.fstat(fd)
            theirs = kind.st_uid != os.geteuid() or not stat.S_ISREG(kind.st_mode)
            found: dict[str, Any] = {} if theirs else json.loads(file.read(RECORD_MAX))
        info = ServerInfo(found["socket_path"], found["pid"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    here = info.socket_path == str(paths.socket) and is_private(paths.socket.parent)
    return info if here else None


def write_record(paths: Paths, info: ServerInfo) -> None:
    """Replace `redis.json` at once, readable by this user only."""
    draft = paths.record.with_suffix(f".{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(json.dumps(info._asdict(), indent=1) + "\n")
        draft.replace(paths.record)
    finally:
        draft.unlink(missing_ok=True)


def tail(path: Path, size: int = 2000) -> str:
    """Return the end of a log file, for an error message."""
    try:
        return path.read_bytes()[-size:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
