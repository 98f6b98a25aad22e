"""Runs a program to its end with bounds on time, output and resources.

The work is done by launchers (see `launcher.py`): one per job under way, reused, each
sweeping whatever its job left behind.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.process.job import ChildLimits, environment, make_job
from workers.process.launcher import KILL, frame, take_frames
from workers.process.orphans import end_offspring, spared
from workers.process.pool import ChildPool
from workers.process.posix import end_tree

STDERR_TAIL = 64 * 1024

_CHUNK = 64 * 1024
_STOP_POLL = 0.1
_SEND_TIMEOUT = 5.0
# How long a killed job may take to end before its launcher is given up.
_GRACE = 0.8
# How long that launcher may then take to end every process below it; its guard waits 2 s.
_SWEEP = 4.0
_PROGRAM = str(Path(__file__).with_name("launcher.py"))


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended; `stderr` is its tail, `swept` counts processes it left running.

    Exactly one of `exit_code`, `signal` and `error` is set; `error` means that it was
    not started, or that its end is not known. `cpu_s` is the CPU time, in seconds, of a
    process that was not killed by us, with that of its children it waited for.
    """

    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool
    output_exceeded: bool
    cancelled: bool
    swept: int
    error: str | None
    seconds: float
    cpu_s: float = 0.0


class ProcessRunner:
    """Runs processes for one worker child; safe in threads and after a fork.

    Launchers are started when first needed (about 40 ms), kept, and replaced when they
    die. After a fork the child starts its own and leaves the parent's alone.
    """

    def __init__(self) -> None:
        self.launchers: ChildPool[LauncherHandle] = ChildPool(LauncherHandle)

    def run(
        self,
        argv: list[str],
        *,
        stdin: bytes | None,
        env: Mapping[str, str],
        cwd: str | None,
        timeout: float,
        max_output: int,
        limits: ChildLimits,
        on_stdout: Callable[[bytes], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Finished:
        """Run `argv` (no shell) to its end and return how it ended.

        Everything below is killed after `timeout` seconds, at more than `max_output`
        bytes of stdout, or when `should_stop` (called every 100 ms) returns true.
        `env` is the whole environment; `argv[0]` is looked up in our PATH. `stdin` None
        gives an empty one. `on_stdout` receives each chunk as it comes. Raises ValueError
        for arguments that no process can be given, and what the two callbacks raise
        (after the process is killed). A program that can't be run is `Finished.error`.
        """
        job = make_job(argv, env, cwd, limits)
        if not (timeout > 0 and math.isfinite(timeout)):
            raise ValueError(f"timeout must be a positive number, not {timeout!r}")
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, not {max_output!r}")
        while True:
            launcher = self.launchers.take()
            fresh, launcher.fresh = launcher.fresh, False
            followed = _FollowedJob(
                launcher, stdin, timeout, max_output, on_stdout, should_stop
            )
            reusable = False
            try:
                reusable = followed.follow(job)
            finally:
                followed.close()
                if not self.launchers.put_back(launcher, reusable):
                    # After a kill the grace time is used up already.
                    launcher.end(0 if followed.killed else _GRACE)
            # A launcher killed while idle did not take the job: it is safe to repeat.
            if followed.taken or fresh or followed.killed:
                return followed.finished()

    def close(self) -> None:
        """End the launchers, and with them everything that still runs below."""
        idle, busy = self.launchers.clear()
        for launcher in busy:  # the thread that follows its job sees this and ends it
            with contextlib.suppress(OSError):
                launcher.sock.shutdown(socket.SHUT_RDWR)
        for launcher in idle:
            launcher.end(_GRACE)


class LauncherHandle:
    """One launcher process and our end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            undo.pop_all()
        spared.add(self.process.pid)
        ours.settimeout(_SEND_TIMEOUT)
        self.sock = ours
        self.fresh = True
        self.pipes: set[int] = set()

    def send(self, job: dict[str, Any], fds: list[int]) -> None:
        """Send a job with the descriptors that become its standard ones."""
        data = frame(job)
        sent = socket.send_fds(self.sock, [data], fds)
        self.sock.sendall(data[sent:])

    def close_pipe(self, fd: int) -> None:
        """Close one of the current job's pipe ends, once."""
        if fd in self.pipes:
            self.pipes.discard(fd)
            os.close(fd)

    def end(self, patience: float) -> None:
        """Have the launcher sweep and end, and wait for that up to `patience` seconds.

        Ends the orphans that this process adopts where a job has killed the launcher.
        """
        self.sock.close()
        spared.discard(self.process.pid)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._collect, daemon=True).start()
            return
        end_offspring()

    def _collect(self) -> None:
        """Wait until the launcher has swept; end one that a job has stopped."""
        try:
            self.process.wait(_SWEEP)
        except subprocess.TimeoutExpired:
            end_tree(self.process.pid)
            self.process.wait()

    def forget(self) -> None:
        """Close what a forked child inherited of the parent's launcher."""
        self.sock.close()
        for fd in list(self.pipes):
            with contextlib.suppress(OSError):
                self.close_pipe(fd)
        spared.discard(self.process.pid)
        self.process.returncode = 0  # not ours to wait for


@dataclass(eq=False)
class _FollowedJob:
    """One job: its pipes, what came out of them, and the launcher's report."""

    launcher: LauncherHandle
    given: bytes | None
    timeout: float
    max_output: int
    on_stdout: Callable[[bytes], None] | None
    should_stop: Callable[[], bool] | None
    killed: str | None = None
    taken: bool = False
    lost: bool = False
    failure: str = "its launcher ended before it was started"
    report: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.stdin = memoryview(self.given) if self.given else None
        self.started = self.next_stop_poll = time.monotonic()
        self.deadline = self.started + self.timeout
        self.stdout, self.stderr, self.buffer = bytearray(), bytearray(), bytearray()
        self.selector = selectors.DefaultSelector()
        self.in_fd = self.out_fd = self.err_fd = -1

    def follow(self, job: dict[str, Any]) -> bool:
        """Send the job and follow it; return whether the launcher can be used again."""
        try:
            self._send(job)
        except OSError as error:
            self.failure = f"its launcher could not be reached: {error}"
            return False
        self.selector.register(self.launcher.sock, selectors.EVENT_READ, self._receive)
        self.selector.register(self.out_fd, selectors.EVENT_READ, self._read_stdout)
        self.selector.register(self.err_fd, selectors.EVENT_READ, self._read_stderr)
        if self.in_fd >= 0:
            self.selector.register(self.in_fd, selectors.EVENT_WRITE, self._write)
        while self.report is None:
            for key, _ in self.selector.select(self._patience()):
                key.data()
            if self.report is None and (self.lost or not self._check_time()):
                return False
        # Every process below is dead: the rest of the output is in the pipes already.
        while self.out_fd in self.launcher.pipes and self._read_stdout():
            pass
        while self.err_fd in self.launcher.pipes and self._read_stderr():
            pass
        return not self.lost

    def _send(self, job: dict[str, Any]) -> None:
        theirs: list[int] = []
        try:
            if self.stdin is None:
                theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            else:
                self.in_fd = self._pipe(theirs, ours=1)
            self.out_fd = self._pipe(theirs)
            self.err_fd = self._pipe(theirs)
            self.launcher.send(job, theirs)
        finally:
            for fd in theirs:
                os.close(fd)

    def _pipe(self, theirs: list[int], ours: int = 0) -> int:
        """Open a pipe; return our end, which does not block, and add the other."""
        ends = os.pipe()
        theirs.append(ends[1 - ours])
        self.launcher.pipes.add(ends[ours])
        os.set_blocking(ends[ours], False)
        return ends[ours]

    def _patience(self) -> float:
        end = self.deadline
        if self.should_stop is not None and self.killed is None:
            end = min(end, self.next_stop_poll)
        return max(0.0, end - time.monotonic())

    def _check_time(self) -> bool:
        """Act on deadline and cancellation; return False to give up the launcher."""
        now = time.monotonic()
        if now >= self.deadline:
            if self.killed is not None:
                return False
            self._kill("time")
        elif (
            self.should_stop is not None
            and self.killed is None
            and now >= self.next_stop_poll
        ):
            self.next_stop_poll = now + _STOP_POLL
            if self.should_stop():
                self._kill("cancelled")
        return True

    def _kill(self, reason: str) -> None:
        """Have the launcher kill everything; from here only the grace time is left."""
        self.killed = reason
        self.deadline = time.monotonic() + _GRACE
        with contextlib.suppress(OSError):  # its end of file is seen by _receive
            self.launcher.sock.sendall(frame(KILL))

    def _receive(self) -> None:
        try:
            data = self.launcher.sock.recv(_CHUNK)
        except OSError:
            data = b""
        self.buffer += data
        for message in take_frames(self.buffer):
            if "taken" in message:
                self.taken = True
            else:
                self.report = message
        self.lost = not data

    def _write(self) -> None:
        assert self.stdin is not None  # noqa: S101 - for the type checker
        try:
            self.stdin = self.stdin[os.write(self.in_fd, self.stdin[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it ended or does not want its stdin: not an error
            self.stdin = self.stdin[:0]
        if not self.stdin:
            self._drop(self.in_fd)

    def _read_stdout(self) -> bool:
        data = self._read(self.out_fd)
        if data is None:
            return False
        room = self.max_output - len(self.stdout)
        kept = data[:room]
        self.stdout += kept
        if kept and self.on_stdout is not None:
            self.on_stdout(kept)
        if len(data) > room and self.killed is None:
            self._kill("output")
        return True

    def _read_stderr(self) -> bool:
        data = self._read(self.err_fd)
        if data is None:
            return False
        self.stderr += data
        if len(self.stderr) > 2 * STDERR_TAIL:  # cut seldom, not at each chunk
            del self.stderr[:-STDERR_TAIL]
        return True

    def _read(self, fd: int) -> bytes | None:
        """Read without waiting; return None for nothing (end of file closes the pipe)."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return None
        if not data:
            self._drop(fd)
            return None
        return data

    def _drop(self, fd: int) -> None:
        self.selector.unregister(fd)
        self.launcher.close_pipe(fd)

    def close(self) -> None:
        """Close the selector and the pipe ends that are still open."""
        self.selector.close()
        for fd in list(self.launcher.pipes):
            self.launcher.close_pipe(fd)

    def finished(self) -> Finished:
        """Return how the job ended, as far as the launcher has reported it."""
        report = self.report
        if report is None:
            if self.killed is not None:
                text = "it was killed but did not end in time"
            elif self.taken:
                text = "its launcher ended while it ran; it was killed"
            else:
                text = self.failure
            report = {"error": text}
        return Finished(
            exit_code=report.get("exit"),
            signal=report.get("signal"),
            stdout=bytes(self.stdout),
            stderr=bytes(self.stderr[-STDERR_TAIL:]),
            timed_out=self.killed == "time",
            output_exceeded=self.killed == "output",
            cancelled=self.killed == "cancelled",
            swept=report.get("swept", 0),
            error=report.get("error"),
            seconds=time.monotonic() - self.started,
            cpu_s=report.get("cpu_s", 0.0),
        )
