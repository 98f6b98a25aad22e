"""The embedded Valkey: started once per checkout, adopted by every command.

Whoever uses it holds a shared lock on `redis.users`; the last one to let go stops it.
The server runs under the supervisor of `server_supervisor.py`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workers import server_supervisor
from workers.server_files import (
    Paths,
    Record,
    is_locked,
    keep_private,
    lock,
    locker_pid,
    make_private,
    read_record,
    socket_url,
    tail,
    try_lock,
    unlock,
)
from workers.server_supervisor import matches, shut_down

IDLE = 30.0
START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_LOG_MAX = 1 << 20
_ROOT = Path(__file__).resolve().parents[1]

_holds: dict[Path, list[tuple[int, int]]] = {}
_holds_lock = threading.Lock()


class ServerUnavailable(RuntimeError):
    """The embedded server can't be started; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Where the embedded server is: `url` is `unix://SOCKET_PATH?db=0`."""

    url: str
    socket_path: str
    pid: int
    adopted: bool


def read_server_info(var_dir: Path) -> ServerInfo | None:
    """Reads the description below `var_dir`; does not ask the server.

    None when there is none that can be trusted or the server was stopped. Raises
    nothing.
    """
    record = read_record(Paths(Path(var_dir).resolve()))
    return None if record is None else _info(record, adopted=True)


def server_pids(var_dir: Path) -> frozenset[int]:
    """Returns the processes of the server, whoever started them."""
    paths = Paths(Path(var_dir).resolve())
    held = (locker_pid(paths.supervisor), locker_pid(paths.server))
    return frozenset(pid for pid in held if pid is not None)


def ensure_server(
    var_dir: Path,
    *,
    log: Callable[[str], None] | None = None,
    keep: bool = False,
    idle: float = IDLE,
    timeout: float = START_TIMEOUT,
) -> ServerInfo:
    """Adopts the server of `var_dir` or starts it, and waits until it answers.

    A caller that does not `acquire` as well may see it stopped after `idle` seconds
    without holders; `keep` lets it run until `stop_server`. `log` gets one line.
    Raises ServerUnavailable, after `timeout` seconds at the latest.
    """
    paths = _paths(var_dir)
    deadline = time.monotonic() + timeout
    try:
        held = lock(paths.lock, timeout)
    except TimeoutError as error:
        raise ServerUnavailable(str(error)) from error
    try:
        if keep:
            paths.keep.touch()
        before = read_record(paths)
        spawned = False
        while (record := _running(paths)) is None:
            if time.monotonic() >= deadline:
                raise ServerUnavailable(
                    f"no answer within {timeout:g} s:\n{tail(paths.log)}"
                )
            if is_locked(paths.supervisor):
                time.sleep(0.02)  # it is restarting the server, or ending
            else:
                _spawn(paths, idle, deadline)
                spawned = True
    finally:
        unlock(held)
    known = before is not None and before.run_id == record.run_id
    info = _info(record, adopted=known or not spawned)
    if log is not None:
        verb = "adopted" if info.adopted else "started"
        log(f"embedded Valkey {verb}: {info.url} (pid {info.pid})")
    return info


def acquire(var_dir: Path, *, timeout: float = 30.0) -> None:
    """Makes this process a holder of the server, until release or its death.

    May be called more than once; each needs its release. Raises TimeoutError.
    """
    paths = _paths(var_dir)
    fd = lock(paths.users, timeout, shared=True)
    with _holds_lock:
        _holds.setdefault(paths.var, []).append((os.getpid(), fd))


def acquire_for_exec(var_dir: Path, *, timeout: float = 30.0) -> int:
    """Makes the program that this process becomes through exec a holder of the server.

    Returns the lock's descriptor: closing it lets go, else it is held until that
    program and what it forks have ended, which the supervisor sees. Raises TimeoutError.
    """
    fd = lock(_paths(var_dir).users, timeout, shared=True)
    os.set_inheritable(fd, True)
    return fd


def release_server(var_dir: Path, keep: bool = False) -> bool:
    """Lets go of the server and stops it if nobody else holds it; True if stopped.

    `keep` leaves it running until `stop_server`. Without a hold, or for one inherited
    through a fork, nothing is stopped. Raises TimeoutError.
    """
    paths = _paths(var_dir)
    with _holds_lock:
        holds = _holds.get(paths.var, [])
        owner, fd = holds.pop() if holds else (0, -1)
    if owner != os.getpid():
        if fd >= 0:
            os.close(fd)  # an unlock here would let go for the parent
        return False
    held = lock(paths.lock, START_TIMEOUT)
    try:
        unlock(fd)
        if keep:
            paths.keep.touch()
        if paths.keep.exists():
            return False
        last = _last(paths)
        if last is None:
            return False
        try:
            _stop(paths)
        finally:
            unlock(last)
        return True
    finally:
        unlock(held)


def stop_server(var_dir: Path) -> None:
    """Stops supervisor and server, whoever holds it; fine when none runs.

    Raises TimeoutError when the server can't be stopped.
    """
    paths = _paths(var_dir)
    held = lock(paths.lock, START_TIMEOUT)
    try:
        paths.keep.unlink(missing_ok=True)
        _stop(paths)
    finally:
        unlock(held)


@contextlib.contextmanager
def embedded_server(
    var_dir: Path,
    keep: bool = False,
    *,
    log: Callable[[str], None] | None = None,
    idle: float = IDLE,
) -> Iterator[ServerInfo]:
    """Holds the server for the length of a block, starting it if there is none."""
    acquire(var_dir)
    try:
        yield ensure_server(var_dir, log=log, keep=keep, idle=idle)
    finally:
        release_server(var_dir, keep)


def _paths(var_dir: Path) -> Paths:
    """Return the files below a folder that is closed to other users, or made so.

    PermissionError tells why where that can't be.
    """
    paths = Paths(Path(var_dir).resolve())
    paths.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_private(paths.var)
    make_private(paths.data)
    return paths


def _info(record: Record, *, adopted: bool) -> ServerInfo:
    url = socket_url(record.socket)
    return ServerInfo(url, record.socket, record.pid, adopted)


def _running(paths: Paths) -> Record | None:
    """Gives the description if its server answers and is supervised."""
    supervisor = locker_pid(paths.supervisor)
    record = read_record(paths)
    if supervisor is None or record is None or record.supervisor_pid != supervisor:
        return None
    return matches(record)


def _spawn(paths: Paths, idle: float, deadline: float) -> None:
    """Starts a supervisor and waits until its server answers."""
    with contextlib.suppress(FileNotFoundError):
        if paths.log.stat().st_size > _LOG_MAX:
            paths.log.replace(paths.log.with_suffix(".log.old"))
    path = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    with open(paths.log, "ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [
                sys.executable,
                "-P",  # the caller's folder must not come before the standard library
                "-m",
                server_supervisor.__name__,
                str(paths.var),
                str(idle),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=paths.data,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 - for the type checker
    answer = b""
    with process.stdout as pipe:
        while select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
            chunk = os.read(pipe.fileno(), 4096)
            if not chunk:
                break
            answer += chunk
    process.wait()  # only its first half, which ends at once
    text = answer.decode("utf-8", "replace")
    if text in (server_supervisor.READY, server_supervisor.BUSY):
        return
    if time.monotonic() >= deadline:  # still loading: the caller's to tell
        return
    raise ServerUnavailable(text or f"the supervisor failed:\n{tail(paths.log)}")


def _last(paths: Paths) -> int | None:
    """Locks out holders if there are none; tries a few times.

    The supervisor looks at the same lock once a second, for an instant.
    """
    for _ in range(5):
        fd = try_lock(paths.users)
        if fd is not None:
            return fd
        time.sleep(0.01)
    return None


def _stop(paths: Paths) -> None:
    """Stops the supervisor, which stops the server, or the server if it is alone."""
    deadline = time.monotonic() + _STOP_TIMEOUT
    asked = False
    while is_locked(paths.supervisor):
        pid = locker_pid(paths.supervisor)
        if pid is not None and not asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            asked = True
        if time.monotonic() >= deadline:
            raise TimeoutError(f"the supervisor (pid {pid}) does not end")
        time.sleep(0.01)
    shut_down(paths.server)
    paths.record.unlink(missing_ok=True)
