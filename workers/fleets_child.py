"""The guard of one worker: starts it, restarts it when it exits, ends it for good.

Run by path (`python -P fleets_child.py OPTIONS -- COMMAND`); standard library only. The end of
standard input, a pipe from who started it, ends the worker, its group, and all that it has
left: what outlives the worker's processes becomes a child of this one, whatever its name.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType

if __name__ == "__main__":  # with -P no folder of ours is known
    sys.path.append(str(Path(__file__).parents[1]))

from workers.kin import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, prctl
from workers.orphans import COURTESY_S, Orphans, reaped

ASKED = (signal.SIGTERM, signal.SIGQUIT)
LOOK_S = 5.0
"""How often the guard looks for what a killed child of its worker has left to it."""
TOO_SHORT_S = 5.0
WARM_S = 25.0
"""How long a worker that is asked to stop may go on with what it has begun.

Then its keeper kills what still runs. Each who waits for it is a little more patient:
otherwise steps that were to end well would be killed with the whole group.
"""
PATIENCE_S = WARM_S + 5.0
"""How long this guard waits for its worker: the keeper's bound and Celery's own end."""
STOP_S = PATIENCE_S + COURTESY_S + 2.0
"""How long the command that started guards waits for them."""
SWEEP_S = 3.0
GAVE_UP = 70
READY_FD = "SWARM_READY_FD"
"""The variable that names the descriptor by which a worker says that it consumes."""


class Guard:
    """Keeps one worker process alive until it is told to stop."""

    def __init__(
        self, command: list[str], *, tries: int, watch: bool, hide: bool, ready: bool
    ) -> None:
        """Prepare; `tries` short lives in a row end it (0: never gives up).

        With `ready` a worker that has not said yet that it consumes is killed at once.
        """
        self.command = command
        self.tries = tries
        self.stopping = False
        self.hurry = False
        self.pid = 0
        self._watch = [0] if watch else []
        self._asks_ready = ready
        self._ready = -1
        self.wakeup, writer = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGQUIT, self._stop)
        # What outlives the worker becomes a child of ours, whatever its session.
        self._left = Orphans(lambda pid: pid == self.pid)
        if hide:
            # It has the worker's environment, not meant for the children of agents.
            prctl(PR_SET_DUMPABLE, 0)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        self.hurry = self.hurry or number == signal.SIGQUIT

    def run(self) -> int:
        """Guard until stopped; the exit code."""
        short = 0
        while not self.stopping:
            began = time.monotonic()
            self.start()
            while self.alive() and not self.stopping:
                self.wait(LOOK_S)
                self._left.tidy()
            if self.stopping:
                break
            # Children that a dead worker left must not meet those of its successor.
            self.sweep(SWEEP_S)
            short = short + 1 if time.monotonic() - began < TOO_SHORT_S else 0
            say(f"the worker exited; start {short + 1}")
            if self.tries and short >= self.tries:
                self.sweep(COURTESY_S + 1.0, finally_=True)
                return GAVE_UP
            self.wait(min(5.0, 0.1 * 2**short) if short else 0.0)
        self.end()
        return 0

    def start(self) -> None:
        """Fork the worker into a session of its own that dies with this guard."""
        guard = os.getpid()
        writer = self._ready_pipe() if self._asks_ready else -1
        # A signal that meets the child before its handlers are its own would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKED)
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)
            if writer >= 0:
                os.close(writer)
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != guard:
                os._exit(1)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.execvp(self.command[0], self.command)  # noqa: S606 - given by our own caller
        except OSError as error:
            say(f"{self.command[0]} can't be started: {error}")
        finally:
            os._exit(127)

    def _ready_pipe(self) -> int:
        if self._ready >= 0:
            os.close(self._ready)
        self._ready, writer = os.pipe()
        os.set_blocking(self._ready, False)
        os.set_inheritable(writer, True)
        os.environ[READY_FD] = str(writer)
        return writer

    def consumes(self) -> bool:
        """Tell whether the worker may hold work; yes, unless it would have said so."""
        if not self._asks_ready:
            return True
        try:
            return bool(os.read(self._ready, 1))
        except BlockingIOError:
            return False

    def alive(self) -> bool:
        """Tell whether the worker's main process runs.

        It is reaped only once its group is killed: until then the number is its own.
        """
        return bool(self.pid) and not ended(self.pid)

    def wait(self, seconds: float | None) -> None:
        """Sleep until a signal, the end of the pipe, or for some seconds."""
        ready, _, _ = select.select([self.wakeup, *self._watch], [], [], seconds)
        if self.wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wakeup, 4096)
        if 0 in ready and not os.read(0, 4096):
            self.stopping = True
            self._watch = []

    def end(self) -> None:
        """End the worker: asked first, then by force with its whole group."""
        until = time.monotonic() + PATIENCE_S
        running = self.alive()
        if running and not self.consumes():
            # It boots, holds nothing, and would not hear of it before it is up.
            self.hurry = True
        elif running:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        while running and not self.hurry and time.monotonic() < until:
            self.wait(max(0.0, until - time.monotonic()))
            running = self.alive()
        self.sweep(COURTESY_S + 1.0, finally_=True)

    def sweep(self, seconds: float, *, finally_: bool = False) -> None:
        """Kill what is left of the worker: its process group, then its orphans.

        What is courteous is waited for only when all comes to its end, and told so.
        """
        if self.pid:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0
        self._left.sweep(seconds, finally_=finally_)


def ended(pid: int) -> bool:
    """Tell whether a child has ended, without reaping it where that can be had."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return reaped(pid)
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True


def say(text: str) -> None:
    """Write a line to the worker's log."""
    line = f"{time.strftime('%H:%M:%S')} guard[{os.getpid()}] {text}\n"
    # A full disk must not end the guard, and a text kept back would fail at its exit.
    with contextlib.suppress(OSError):
        os.write(2, line.encode("utf-8", "backslashreplace"))


def record(path: str, text: str) -> int:
    """Lock a file that says who lives, and return it; readers remove unlocked ones."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                break
        os.close(fd)
    os.ftruncate(fd, 0)
    os.pwrite(fd, text.encode(), 0)
    return fd


def main() -> int:
    """Guard the command after `--`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", help="file that is locked while this lives")
    parser.add_argument("--text", default="", help="what the record says")
    parser.add_argument("--tries", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="live without the pipe")
    parser.add_argument("--ready", action="store_true", help="see Guard")
    parser.add_argument("--hide", action="store_true", help="see privacy.py")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:]
    fd = -1
    if options.record:
        fd = record(options.record, options.text.replace("PID", str(os.getpid())))
    try:
        how = {
            "watch": not options.alone,
            "hide": options.hide,
            "ready": options.ready,
        }
        return Guard(command, tries=options.tries, **how).run()
    finally:
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(options.record)


if __name__ == "__main__":
    sys.exit(main())
