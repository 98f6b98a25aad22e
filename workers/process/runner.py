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
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.kin import end_tree
from workers.process.job import Limits, environment, make_job
from workers.process.launcher import KILL, frame, take_frames
from workers.process.offspring import (
    adopts_orphans,
    end_own_offspring,
    let_go,
    spare,
)
from workers.process.privacy import may_hide

STDERR_TAIL = 64 * 1024

_CHUNK = 64 * 1024
_STOP_POLL = 0.1
_SEND_TIMEOUT = 5.0
# How long a killed job may take to be gone before its launcher is given up.
_GRACE = 0.8
# And how long that launcher may then take to end all below it; its guard waits 2 s.
_SWEEP = 4.0
_PROGRAM = str(Path(__file__).with_name("launcher.py"))


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended; `stderr` is its tail, `swept` counts what it left running.

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
    die. After a fork the child starts its own and the parent's are left alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Launcher] = []
        self._all: set[Launcher] = set()
        _runners.add(self)

    def run(
        self,
        argv: list[str],
        *,
        stdin: bytes | None,
        env: Mapping[str, str],
        cwd: str | None,
        timeout: float,
        max_output: int,
        limits: Limits,
        on_stdout: Callable[[bytes], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Finished:
        """Runs `argv` (no shell) to its end and returns how it ended.

        `timeout` is in seconds; at its end, at more than `max_output` bytes of stdout
        or when `should_stop` (asked every 100 ms) says so, everything below is killed.
        `env` is the whole environment; `argv[0]` is looked up in our PATH. `stdin` None
        gives an empty one. `on_stdout` gets each chunk as it comes. Raises ValueError
        for arguments no process can be given, and what the two callbacks raise (after
        the process is killed). A program that can't be run is `Finished.error`.
        """
        job = make_job(argv, env, cwd, limits)
        if not (timeout > 0 and math.isfinite(timeout)):
            raise ValueError(f"timeout must be a positive number, not {timeout!r}")
        if max_output < 0:
            raise ValueError(f"max_output must not be negative, not {max_output!r}")
        while True:
            launcher = self._take()
            conversation = _Conversation(
                launcher, stdin, timeout, max_output, on_stdout, should_stop
            )
            healthy = False
            try:
                healthy = conversation.hold(job)
            finally:
                conversation.close()
                # After a kill the grace time is used up already.
                self._put(launcher, healthy, 0 if conversation.killed else _GRACE)
            # A launcher killed while idle did not take the job: it is safe to repeat.
            if conversation.taken or launcher.fresh or conversation.killed:
                return conversation.finished()

    def close(self) -> None:
        """Ends the launchers, and with them everything that still runs below."""
        with self._lock:
            idle, busy = self._idle, self._all.difference(self._idle)
            self._all, self._idle = set(), []
        for launcher in busy:  # the thread that follows its job sees this and ends it
            with contextlib.suppress(OSError):
                launcher.sock.shutdown(socket.SHUT_RDWR)
        for launcher in idle:
            launcher.end(_GRACE)

    def _take(self) -> Launcher:
        with self._lock:
            if self._idle:
                launcher = self._idle.pop()
                launcher.fresh = False
                return launcher
        launcher = Launcher()
        with self._lock:
            self._all.add(launcher)
        return launcher

    def _put(self, launcher: Launcher, healthy: bool, patience: float) -> None:
        with self._lock:
            if healthy and launcher in self._all:
                self._idle.append(launcher)
                return
            self._all.discard(launcher)
        launcher.end(patience)

    def _forget(self) -> None:
        """Drops the parent's launchers, in the child of a fork."""
        self._lock = threading.Lock()
        for launcher in self._all:
            launcher.forget()
        self._all, self._idle = set(), []


_runners: weakref.WeakSet[ProcessRunner] = weakref.WeakSet()


def _after_fork() -> None:
    for runner in list(_runners):
        runner._forget()


# Not only at the next run: a child that keeps the socket open would keep the parent's
# launcher from seeing the parent's end.
os.register_at_fork(after_in_child=_after_fork)


class Launcher:
    """One launcher process and our end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-I", "-S", _PROGRAM, str(theirs.fileno())),
                    "hide" if may_hide() else "show",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            undo.pop_all()
        spare(self.process.pid)
        ours.settimeout(_SEND_TIMEOUT)
        self.sock = ours
        self.fresh = True
        self.pipes: set[int] = set()

    def close_pipe(self, fd: int) -> None:
        """Closes one of the current job's pipe ends, once."""
        if fd in self.pipes:
            self.pipes.discard(fd)
            os.close(fd)

    def end(self, patience: float) -> None:
        """Lets the launcher end and sweep, and waits for that up to `patience` s.

        A job may have killed it, and is then a child of ours where we adopt orphans.
        """
        self.sock.close()
        let_go(self.process.pid)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._collect, daemon=True).start()
            return
        if adopts_orphans():
            end_own_offspring()

    def _collect(self) -> None:
        """Waits while it sweeps by itself; one that a job has stopped is ended."""
        try:
            self.process.wait(_SWEEP)
        except subprocess.TimeoutExpired:
            end_tree(self.process.pid)
            self.process.wait()

    def forget(self) -> None:
        """Closes what a forked child inherited of the parent's launcher."""
        self.sock.close()
        for fd in list(self.pipes):
            with contextlib.suppress(OSError):
                self.close_pipe(fd)
        let_go(self.process.pid)
        self.process.returncode = 0  # not ours to wait for


class _Conversation:
    """One job: its pipes, what came out of them, and the launcher's report."""

    def __init__(
        self,
        launcher: Launcher,
        stdin: bytes | None,
        timeout: float,
        max_output: int,
        on_stdout: Callable[[bytes], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.launcher = launcher
        self.stdin = memoryview(stdin) if stdin else None
        self.max_output = max_output
        self.on_stdout = on_stdout
        self.should_stop = should_stop
        self.started = time.monotonic()
        self.deadline = self.started + timeout
        self.next_stop_poll = self.started
        self.killed: str | None = None
        self.taken = False
        self.lost = False
        self.failure = "its launcher ended before it was started"
        self.report: dict[str, Any] | None = None
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.buffer = bytearray()
        self.selector = selectors.DefaultSelector()
        self.in_fd = self.out_fd = self.err_fd = -1

    def hold(self, job: dict[str, Any]) -> bool:
        """Sends the job and follows it; True when the launcher can be used again."""
        try:
            self._send(job)
        except OSError as error:
            self.failure = f"its launcher could not be reached: {error}"
            return False
        self.selector.register(self.launcher.sock, selectors.EVENT_READ, self._hear)
        self.selector.register(self.out_fd, selectors.EVENT_READ, self._read_stdout)
        self.selector.register(self.err_fd, selectors.EVENT_READ, self._read_stderr)
        if self.in_fd >= 0:
            self.selector.register(self.in_fd, selectors.EVENT_WRITE, self._write)
        while self.report is None:
            for key, _ in self.selector.select(self._patience()):
                key.data()
            if self.report is None and (self.lost or not self._check_time()):
                return False
        # Everyone below is dead, so what is left is in the pipes already.
        for fd, read in (
            (self.out_fd, self._read_stdout),
            (self.err_fd, self._read_stderr),
        ):
            while fd in self.launcher.pipes and read():
                pass
        return not self.lost

    def _send(self, job: dict[str, Any]) -> None:
        pipes = self.launcher.pipes
        theirs: list[int] = []
        try:
            if self.stdin is None:
                theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            else:
                reader, self.in_fd = os.pipe()
                theirs.append(reader)
                pipes.add(self.in_fd)
            self.out_fd, writer = os.pipe()
            theirs.append(writer)
            pipes.add(self.out_fd)
            self.err_fd, writer = os.pipe()
            theirs.append(writer)
            pipes.add(self.err_fd)
            for fd in pipes:
                os.set_blocking(fd, False)
            data = frame(job)
            sent = socket.send_fds(self.launcher.sock, [data], theirs)
            self.launcher.sock.sendall(data[sent:])
        finally:
            for fd in theirs:
                os.close(fd)

    def _patience(self) -> float:
        end = self.deadline
        if self.should_stop is not None and self.killed is None:
            end = min(end, self.next_stop_poll)
        return max(0.0, end - time.monotonic())

    def _check_time(self) -> bool:
        """Acts on deadline and cancellation; False to give the launcher up."""
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
        """Has the launcher kill everything; from here only the grace time is left."""
        self.killed = reason
        self.deadline = time.monotonic() + _GRACE
        with contextlib.suppress(OSError):  # its end of file is seen by _hear
            self.launcher.sock.sendall(frame(KILL))

    def _hear(self) -> None:
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
        """Reads what is there; None when there is nothing (the end closes the pipe)."""
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
        """Closes the selector and the pipe ends that are still open."""
        self.selector.close()
        for fd in list(self.launcher.pipes):
            self.launcher.close_pipe(fd)

    def finished(self) -> Finished:
        """Tells how it ended, as far as the launcher could say."""
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
