"""The launcher: starts one job at a time for a worker child and ends all its processes.

Run by path (`python -I -S launcher.py FD`), standard library only. Two processes: a
guard and the launcher below it, both subreapers, so killing either leaves no orphan.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":  # isolated, so that no folder of ours is known
    sys.path.append(str(Path(__file__).parents[2]))

from workers.process.posix import (
    LINUX,
    PR_CAPBSET_DROP,
    PR_SET_NO_NEW_PRIVS,
    become_subreaper,
    descendants,
    drain,
    has_ended,
    hide,
    libc,
    prctl,
    signal_at_parents_end,
    wakeup_pipe,
)

Argv = list[bytes]
Env = dict[bytes, bytes]
Limits = list[tuple[int, int, int]]

Ended = tuple[int, float]
"""The wait status of a process and its CPU seconds."""

HEADER = struct.Struct("!I")
PEEKS = hasattr(os, "waitid")
"""Whether the end of a child shows without reaping it; on macOS since Python 3.13."""
KILL: dict[str, Any] = {"kill": True}

# Each lets a process read the memory of one that hides it: SYS_PTRACE, SYS_ADMIN (since
# Linux 6.15, through PERFMON) and PERFMON. Containers seldom have any of them.
PEEK_CAPABILITIES = (19, 21, 38)
_CAPABILITY_VERSION = 0x20080522

# Python ignores some of these, and a worker may ignore others; both are inherited
# through exec, so a job gets the defaults back.
_DEFAULTED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)
# A service manager may signal the whole group at once; end of file ends a launcher.
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_GUARD_PATIENCE = 2.0
_FRESH: Any = {"setsid": True, "setsigmask": (), "setsigdef": _DEFAULTED}
# The lowest limits under which this process can still start another one.
_ROOM = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NOFILE: 64,
    resource.RLIMIT_DATA: 64 << 20,
}


def frame(message: dict[str, Any]) -> bytes:
    """Pack one message: four bytes of length, then JSON."""
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def take_frames(buffer: bytearray) -> Iterator[dict[str, Any]]:
    """Yield the complete messages at the head of `buffer` and remove them."""
    while len(buffer) >= HEADER.size:
        (size,) = HEADER.unpack_from(buffer)
        end = HEADER.size + size
        if len(buffer) < end:
            return
        body = bytes(buffer[HEADER.size : end])
        del buffer[:end]
        yield json.loads(body)


def drop_peek_capabilities() -> None:
    """Drop, for good, root's rights to read the memory of processes that hide it."""
    if libc is None or not hasattr(libc, "capset"):
        return
    for number in PEEK_CAPABILITIES:
        prctl(PR_CAPBSET_DROP, number)  # else root has it again after exec
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # effective, permitted, inheritable: of the first 32 capabilities, then of the others
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) == 0:
        for number in PEEK_CAPABILITIES:
            for kind in range(3):
                sets[kind + 3 * (number // 32)] &= ~(1 << number % 32)
        libc.capset(header, sets)


def sweep(
    group: int | None, reaped: dict[int, Ended] | None = None
) -> tuple[int, dict[int, Ended]]:
    """Kill and reap all processes below this one until none is left.

    `group` is the job's process group, killed as a whole first. Its leader must not be
    reaped yet, or another group might have the number by now. Returns how many
    processes besides the leader had to be killed, and the end of each reaped one.
    """
    reaped = {} if reaped is None else reaped
    first, pause = not PEEKS, 0.0002
    while True:
        if group is not None and (first or group not in reaped):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        first = False
        if _reap(reaped):
            swept = sum(
                pid != group
                and os.WIFSIGNALED(status)
                and os.WTERMSIG(status) == signal.SIGKILL
                for pid, (status, _) in reaped.items()
            )
            return swept, reaped
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _reap(into: dict[int, Ended]) -> bool:
    """Reap the children that have ended; return whether no child is left."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        into[pid] = status, usage.ru_utime + usage.ru_stime


class Launcher:
    """Serves one worker child over `sock` until end of file."""

    def __init__(self, sock: socket.socket, guard: int) -> None:
        self.sock = sock
        self.guard = guard
        self.buffer = bytearray()
        self.fds: list[int] = []
        self.wakeup = wakeup_pipe()
        self.home = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)

    def serve(self) -> None:
        """Run the jobs that come in, one after another; return at end of file."""
        while True:
            job = self._receive()
            if job is None:
                return
            if job == KILL:  # crossed with the report of a job that had just ended
                continue
            self.sock.sendall(frame({"taken": True}))
            self.sock.sendall(frame(self._run(job)))
            if os.getppid() != self.guard:  # without its guard nothing would sweep
                return

    def _receive(self) -> dict[str, Any] | None:
        """Wait for one message; keep the descriptors that came with it."""
        while True:
            for message in take_frames(self.buffer):
                return message
            if not self._read():
                return None

    def _read(self) -> bool:
        """Read once from the worker; return False at end of file."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, 3)
        except ConnectionError:
            return False
        for fd in fds:  # recv_fds ignores its flags
            os.set_inheritable(fd, False)
        self.fds += fds
        self.buffer += data
        return bool(data)

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one job to its end and return the report for the worker."""
        fds, self.fds = self.fds, []
        try:
            pid = start(job, fds, self.home)
        except NotStarted as error:
            return {"error": str(error), "swept": sweep(None)[0]}
        finally:
            for fd in fds:
                os.close(fd)
        self.reaped: dict[int, Ended] = {}
        alive, killed = self._wait(pid)
        swept, reaped = sweep(pid, self.reaped)
        if not alive:
            os._exit(0)
        report: dict[str, Any] = {"swept": swept}
        if pid not in reaped:
            return report | {"error": "its exit status was lost"}
        status, cpu_s = reaped[pid]
        # The CPU time of a killed job is not reported: it may be incomplete.
        report["cpu_s"] = 0.0 if killed else cpu_s
        if os.WIFSIGNALED(status):
            return report | {"signal": os.WTERMSIG(status)}
        return report | {"exit": os.WEXITSTATUS(status)}

    def _wait(self, pid: int) -> tuple[bool, bool]:
        """Wait for the end of job `pid`, without reaping it.

        Returns whether the worker still lives, and whether the job is to be killed.
        """
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        while not self._ended(pid):
            for fd, _ in poll.poll():
                if fd == self.wakeup:
                    drain(self.wakeup)
                elif not self._read():
                    return False, True
            if KILL in list(take_frames(self.buffer)):
                return True, True
        return True, False

    def _ended(self, job: int) -> bool:
        """Return whether the job has ended; reap its orphans that have ended."""
        if not PEEKS:
            _reap(self.reaped)
            return job in self.reaped
        options = os.WEXITED | os.WNOHANG
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, job, options | os.WNOWAIT) is not None:
                return True
            while (other := os.waitid(os.P_ALL, 0, options | os.WNOWAIT)) is not None:
                if other.si_pid == job:
                    return True
                os.waitpid(other.si_pid, os.WNOHANG)
        return False


class NotStarted(Exception):
    """A program that can't be started; the text says why."""


def start(job: dict[str, Any], fds: list[int], home: int) -> int:
    """Start a job's program and return its pid; raises NotStarted.

    `job` has argv, env (name and value pairs) and cwd as latin-1 text of the bytes,
    and limits as [resource number, soft, hard]. `fds` become 0, 1 and 2; every other
    descriptor closes by itself. `home` is the directory to return to afterwards.
    """
    argv = [part.encode("latin-1") for part in job["argv"]]
    env = {k.encode("latin-1"): v.encode("latin-1") for k, v in job["env"]}
    limits = [_own(*limit) for limit in job["limits"]]
    with _directory(job["cwd"], home):
        try:
            # A relative program would be looked up in the directory of the job.
            if not os.path.isabs(argv[0]):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not all(map(_fits, limits)):
                return _fork(argv, env, fds, limits)
            with _lent(limits):
                pid = _spawn(argv, env, fds)
        except OSError as error:
            name = os.fsdecode(argv[0])
            raise NotStarted(f"cannot run {name!r}: {error.strerror}") from None
    try:
        # The soft limits apply from the start; with hard ones the job can't raise them.
        for number, soft, hard in limits if LINUX else ():
            resource.prlimit(pid, number, (soft, hard))
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        raise NotStarted(f"cannot set its limits: {error.strerror}") from None
    return pid


def _spawn(argv: Argv, env: Env, fds: list[int]) -> int:
    """Start a program in a new session, without a copy of this process."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions, **_FRESH)


def _fork(argv: Argv, env: Env, fds: list[int], limits: Limits) -> int:
    """Start a program under limits that are too low for this process itself.

    That takes a fork, which costs more than everything else here.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(argv, env, fds, limits, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:  # ends when the program begins
        code = file.read()
    if code:
        raise OSError(int(code), os.strerror(int(code)))
    return pid


def _become(
    argv: Argv, env: Env, fds: list[int], limits: Limits, failure: int
) -> NoReturn:
    """Turn the forked child into a program; write the number of an error."""
    code = errno.ENOENT
    try:
        os.setsid()
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        for limit, soft, hard in limits:
            resource.setrlimit(limit, (soft, hard))
        os.execve(argv[0], argv, env)  # noqa: S606 - argv only, on purpose
    except OSError as error:
        code = error.errno or code
    except MemoryError:
        code = errno.ENOMEM
    finally:
        os.write(failure, str(code).encode())
        os._exit(127)


@contextlib.contextmanager
def _directory(cwd: str | None, home: int) -> Iterator[None]:
    """Change to a directory for the length of a block."""
    path = "." if cwd is None else os.fsdecode(cwd.encode("latin-1"))
    try:
        os.chdir(path)
    except OSError as error:
        text = f"cannot change to the directory {path!r}: {error.strerror}"
        raise NotStarted(text) from None
    try:
        yield
    finally:
        os.fchdir(home)


def _fits(limit: tuple[int, int, int]) -> bool:
    """Return whether this process can work under a soft limit for a moment."""
    number, soft, _ = limit
    if number == resource.RLIMIT_CPU:
        return soft > time.process_time() + 1
    return number in _ROOM and soft >= _ROOM[number]


@contextlib.contextmanager
def _lent(limits: Limits) -> Iterator[None]:
    """Set soft limits on this process for a moment: the started program inherits them."""
    had = []
    try:
        for number, soft, _ in limits:
            before = resource.getrlimit(number)
            had.append((number, before))
            resource.setrlimit(number, (soft, before[1]))
        yield
    finally:
        for number, before in had:
            resource.setrlimit(number, before)


def _own(number: int, soft: int, hard: int) -> tuple[int, int, int]:
    """Return a limit that is not above the hard limit of this process."""
    _, ceiling = resource.getrlimit(number)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    return number, soft, hard


def guard(sock: socket.socket, launcher: int) -> None:
    """Wait for the end of the launcher, for a stuck one not long, and sweep."""
    wakeup = wakeup_pipe()
    poll = select.poll()
    poll.register(wakeup, select.POLLIN)
    poll.register(sock, 0)  # only POLLHUP: the worker is gone
    while not has_ended(launcher):
        if any(fd == sock.fileno() for fd, _ in poll.poll()):
            deadline = time.monotonic() + _GUARD_PATIENCE
            while not has_ended(launcher) and time.monotonic() < deadline:
                select.select([wakeup], [], [], 0.05)
                drain(wakeup)
            break
        drain(wakeup)
    sweep(None)


def main() -> None:
    """Split into guard and launcher on the socket whose number is the argument."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    # A job may have stopped the launcher; SIGCONT has it continue and see the end.
    signal_at_parents_end(signal.SIGCONT)
    hide()  # its memory contains the secrets of earlier jobs
    # Jobs inherit both: we could not kill a setuid program, and secrets of the worker
    # are in its environment and memory.
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    drop_peek_capabilities()
    above = os.getpid()
    below = os.fork()
    if below:
        # The guard keeps the socket: the worker sees its end only after the sweep.
        guard(sock, below)
        return
    become_subreaper()  # a fork inherits neither this nor the next
    signal_at_parents_end(signal.SIGCONT)
    try:
        Launcher(sock, above).serve()
    finally:
        sweep(None)
        os._exit(0)


if __name__ == "__main__":
    main()
