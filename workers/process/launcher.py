"""The launcher: starts one job at a time for a worker child and leaves nothing behind.

Run by path (`python -I -S launcher.py FD hide`), standard library only. Two processes: a
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

from workers.kin import (
    LINUX,
    PR_CAPBSET_DROP,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    descendants,
    libc,
    prctl,
)

Argv = list[bytes]
Env = dict[bytes, bytes]
Limits = list[tuple[int, int, int]]

Ended = tuple[int, float]
"""The wait status of a process and its CPU seconds."""

HEADER = struct.Struct("!I")
KILLED = signal.SIGKILL
PEEKS = hasattr(os, "waitid")
"""Whether an end can be seen without reaping; on macOS only since Python 3.13."""
KILL: dict[str, Any] = {"kill": True}

# Each lets its holder read the memory of a process that hides it: SYS_PTRACE, SYS_ADMIN
# (since Linux 6.15, by way of PERFMON) and PERFMON. Containers seldom have any of them.
CAPS_TO_LOOK = (19, 21, 38)
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
# The least that this process needs itself while it starts another one.
_ROOM = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NOFILE: 64,
    resource.RLIMIT_DATA: 64 << 20,
    resource.RLIMIT_AS: 256 << 20,
}


def frame(message: dict[str, Any]) -> bytes:
    """Packs one message: four bytes of length, then JSON."""
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def take_frames(buffer: bytearray) -> Iterator[dict[str, Any]]:
    """Yields the complete messages at the head of `buffer` and removes them."""
    while len(buffer) >= HEADER.size:
        (size,) = HEADER.unpack_from(buffer)
        end = HEADER.size + size
        if len(buffer) < end:
            return
        body = bytes(buffer[HEADER.size : end])
        del buffer[:end]
        yield json.loads(body)


def give_up_looking() -> None:
    """Gives up, for good, root's rights to look into processes that hide their memory."""
    if libc is None or not hasattr(libc, "capset"):
        return
    for number in CAPS_TO_LOOK:
        prctl(PR_CAPBSET_DROP, number)  # else root has it again after exec
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # effective, permitted, inheritable: of the first 32 capabilities, then of the others
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) == 0:
        for number in CAPS_TO_LOOK:
            for kind in range(3):
                sets[kind + 3 * (number // 32)] &= ~(1 << number % 32)
        libc.capset(header, sets)


def sweep(
    group: int | None, reaped: dict[int, Ended] | None = None
) -> tuple[int, dict[int, Ended]]:
    """Kills and reaps everything below this process until nothing is left.

    `group` is the job's process group, killed as a whole first; its leader must not be
    reaped yet, or the number might be another group's by now. Returns how many
    processes other than the leader had to be killed, and the end of every one reaped.
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
                and os.WTERMSIG(status) == KILLED
                for pid, (status, _) in reaped.items()
            )
            return swept, reaped
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _reap(into: dict[int, Ended]) -> bool:
    """Reaps what has ended; tells whether no child is left."""
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
        """Runs the jobs that come in, one after another; returns at end of file."""
        while True:
            job = self._receive()
            if job is None:
                return
            if job == KILL:  # crossed with the report of a job that had just ended
                continue
            self.sock.sendall(frame({"taken": True}))
            self.sock.sendall(frame(self._run(job)))
            if os.getppid() != self.guard:  # without its guard it is not safe to go on
                return

    def _receive(self) -> dict[str, Any] | None:
        """Waits for one message; keeps the descriptors that came with it."""
        while True:
            for message in take_frames(self.buffer):
                return message
            if not self._read():
                return None

    def _read(self) -> bool:
        """Reads once from the worker; False at end of file."""
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
        """Runs one job to its end and returns the report for the worker."""
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
        # What a job used that we have killed is not told: it may be half of it.
        report["cpu_s"] = 0.0 if killed else cpu_s
        if os.WIFSIGNALED(status):
            return report | {"signal": os.WTERMSIG(status)}
        return report | {"exit": os.WEXITSTATUS(status)}

    def _wait(self, pid: int) -> tuple[bool, bool]:
        """Waits for the end of job `pid`, without reaping it.

        Tells whether the worker is still there, and whether the job is to be killed.
        """
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        while not self._ended(pid):
            for fd, _ in poll.poll():
                if fd == self.wakeup:
                    os.read(self.wakeup, 4096)
                elif not self._read():
                    return False, True
            if KILL in list(take_frames(self.buffer)):
                return True, True
        return True, False

    def _ended(self, job: int) -> bool:
        """Tells whether the job has ended; reaps what it has left to us and has ended."""
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
    """Starts a job's program and returns its pid; raises NotStarted.

    `job` has argv, env (name and value pairs) and cwd as latin-1 text of the bytes,
    and limits as [resource number, soft, hard]. `fds` become 0, 1 and 2; everything else
    that is open closes by itself. `home` is the directory to be in afterwards.
    """
    argv = [part.encode("latin-1") for part in job["argv"]]
    env = {k.encode("latin-1"): v.encode("latin-1") for k, v in job["env"]}
    limits = [_own(*limit) for limit in job["limits"]]
    with _directory(job["cwd"], home):
        try:
            if not os.path.isabs(
                argv[0]
            ):  # it would be looked for where the job stands
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not all(map(_fits, limits)):
                return _fork(argv, env, fds, limits)
            with _lent(limits):
                pid = _spawn(argv, env, fds)
        except OSError as error:
            name = os.fsdecode(argv[0])
            raise NotStarted(f"cannot run {name!r}: {error.strerror}") from None
    try:
        # The soft limits hold from the start; now it can't raise them any more.
        for number, soft, hard in limits if LINUX else ():
            resource.prlimit(pid, number, (soft, hard))
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        raise NotStarted(f"cannot set its limits: {error.strerror}") from None
    return pid


def _spawn(argv: Argv, env: Env, fds: list[int]) -> int:
    """Starts a program in a session of its own; copies nothing of this process."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions, **_FRESH)


def _fork(argv: Argv, env: Env, fds: list[int], limits: Limits) -> int:
    """Starts a program under limits that this process could not live with itself.

    That takes a copy of this process, which costs more than all the rest.
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
    """Turns the forked child into a program; writes the error's number if it can't."""
    code = errno.ENOENT
    try:
        os.setsid()
        for number in _DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        for number, soft, hard in limits:
            resource.setrlimit(number, (soft, hard))
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
    """Stands in a directory for the length of a block."""
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
    """Tells whether this process can live with a soft limit for a moment."""
    number, soft, _ = limit
    if number == resource.RLIMIT_CPU:
        return soft > time.process_time() + 1
    return number in _ROOM and soft >= _ROOM[number]


@contextlib.contextmanager
def _lent(limits: Limits) -> Iterator[None]:
    """Takes soft limits on itself for a moment: who is started inherits them."""
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
    """Gives a limit that is never above what this process may have itself."""
    _, ceiling = resource.getrlimit(number)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    return number, soft, hard


def wakeup_pipe() -> int:
    """Makes SIGCHLD readable: returns the end of a pipe that gets a byte at each."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def guard(sock: socket.socket, launcher: int) -> None:
    """Waits for the launcher's end and sweeps what it left; outlives a stuck one."""
    wakeup = wakeup_pipe()
    poll = select.poll()
    poll.register(wakeup, select.POLLIN)
    poll.register(sock, 0)  # only POLLHUP: the worker is gone
    while True:
        if _ended(launcher):
            break
        events = dict(poll.poll())
        if sock.fileno() in events:
            poll.unregister(sock)
            deadline = time.monotonic() + _GUARD_PATIENCE
            while not _ended(launcher) and time.monotonic() < deadline:
                select.select([wakeup], [], [], 0.05)
            break
        os.read(wakeup, 4096)
    sweep(None)


def _ended(child: int) -> bool:
    reaped: dict[int, Ended] = {}
    _reap(reaped)
    return child in reaped


def _be_woken_by_the_end_of_who_started_us() -> None:
    """Has the kernel let this process go on, should a job have stopped it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def main() -> None:
    """Splits into guard and launcher on the socket whose number is the argument.

    The second argument is `hide` or `show` (privacy.py).
    """
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    _be_woken_by_the_end_of_who_started_us()
    if sys.argv[2] == "hide":
        prctl(PR_SET_DUMPABLE, 0)  # what earlier jobs were given is in its memory
    # Both are inherited: a setuid program could not be killed by us, and the worker's
    # environment and memory hold secrets that are not for its children.
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    give_up_looking()
    above = os.getpid()
    below = os.fork()
    if below:
        # The guard keeps the socket: the worker sees its end only after the sweep.
        guard(sock, below)
        return
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # is not inherited by fork, nor is the other
    _be_woken_by_the_end_of_who_started_us()
    try:
        Launcher(sock, above).serve()
    finally:
        sweep(None)
        os._exit(0)


if __name__ == "__main__":
    main()
