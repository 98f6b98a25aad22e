"""The guard of one worker: starts it, restarts it when it exits, ends it for good.

Run by path (`python -I -S worker_guard.py OPTIONS COMMAND`), standard library only. The
end of standard input, a pipe from the command that started it, ends the worker, its group,
and its orphans, which this process adopts.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType

if __name__ == "__main__":  # isolated, so that no folder of ours is known
    sys.path.append(str(Path(__file__).parents[2]))

from workers.process.orphans import COURTESY_S, Orphans
from workers.process.posix import (
    drain,
    has_ended,
    hide,
    signal_at_parents_end,
    wakeup_pipe,
    write_note,
)

ASKED = (signal.SIGTERM, signal.SIGQUIT)
TIDY_S = 5.0
"""How often the guard ends the orphans of killed children of its worker."""
TOO_SHORT_S = 5.0
WARM_S = 25.0
"""How long a worker that is asked to stop may continue with its steps.

Then its keeper kills those that still run. The guard and the command wait a little longer:
otherwise steps that would end in time would be killed with the whole group.
"""
PATIENCE_S = WARM_S + 5.0
"""How long this guard waits for its worker: the keeper's bound and Celery's own end."""
STOP_S = PATIENCE_S + COURTESY_S + 2.0
"""How long the command that started guards waits for them."""
SWEEP_S = 3.0
GAVE_UP = 70
READY_FD = "SWARM_READY_FD"
"""The variable with the descriptor on which a worker reports that it consumes."""


class Guard:
    """Keeps one worker process running until it is stopped."""

    def __init__(self, command: list[str], *, tries: int, watch: bool) -> None:
        """Prepare; the guard gives up after `tries` short lives in a row (0: never).

        With `watch` it ends at the end of its standard input.
        """
        self.command = command
        self.tries = tries
        self.stopping = False
        self.hurry = False
        self.pid = 0
        self._watch = [0] if watch else []
        self._ready = -1
        self.wakeup = wakeup_pipe()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in ASKED:
            signal.signal(number, self._stop)
        # Orphans of the worker become children of this process, whatever their session.
        self._left = Orphans(lambda pid: pid == self.pid)
        # The environment has the worker's secrets, which agents' children must not see.
        hide()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        self.hurry = self.hurry or number == signal.SIGQUIT

    def run(self) -> int:
        """Guard until stopped; return the exit code."""
        short = 0
        while not self.stopping:
            began = time.monotonic()
            self.start()
            while self.alive() and not self.stopping:
                self.wait(TIDY_S)
                self._left.tidy()
            if self.stopping:
                break
            # Children of the dead worker must not run beside those of its successor.
            self.sweep(SWEEP_S)
            short = short + 1 if time.monotonic() - began < TOO_SHORT_S else 0
            log(f"the worker exited; start {short + 1}")
            if self.tries and short >= self.tries:
                self.sweep(COURTESY_S + 1.0, terminate=True)
                return GAVE_UP
            self.wait(min(5.0, 0.1 * 2**short) if short else 0.0)
        self.end()
        return 0

    def start(self) -> None:
        """Fork the worker into a session of its own that dies with this guard."""
        guard = os.getpid()
        writer = self._ready_pipe()
        # A signal to the child would be lost before it has its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKED)
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)
            os.close(writer)
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, *ASKED):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED)
            os.setsid()
            signal_at_parents_end(signal.SIGTERM)
            if os.getppid() != guard:
                os._exit(1)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.execvp(self.command[0], self.command)  # noqa: S606 - given by our own caller
        except OSError as error:
            log(f"{self.command[0]} can't be started: {error}")
        finally:
            os._exit(127)

    def _ready_pipe(self) -> int:
        """Open the pipe on which the worker reports that it consumes; return its end."""
        if self._ready >= 0:
            os.close(self._ready)
        self._ready, writer = os.pipe()
        os.set_blocking(self._ready, False)
        os.set_inheritable(writer, True)
        os.environ[READY_FD] = str(writer)
        return writer

    def consumes(self) -> bool:
        """Return whether the worker has begun to consume, and so may have messages."""
        try:
            return bool(os.read(self._ready, 1))
        except BlockingIOError:
            return False

    def alive(self) -> bool:
        """Return whether the worker's main process runs.

        It is reaped only after its group is killed: until then no other has its pid.
        """
        return bool(self.pid) and not has_ended(self.pid)

    def wait(self, seconds: float | None) -> None:
        """Sleep until a signal, the end of the pipe, or for some seconds."""
        ready, _, _ = select.select([self.wakeup, *self._watch], [], [], seconds)
        if self.wakeup in ready:
            drain(self.wakeup)
        if 0 in ready and not os.read(0, 4096):
            self.stopping = True
            self._watch = []

    def end(self) -> None:
        """End the worker: first by SIGTERM, then by force with its whole group."""
        until = time.monotonic() + PATIENCE_S
        running = self.alive()
        if running and not self.consumes():
            # While it starts it has no message, and would not handle SIGTERM yet.
            self.hurry = True
        elif running:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
        while running and not self.hurry and time.monotonic() < until:
            self.wait(max(0.0, until - time.monotonic()))
            running = self.alive()
        self.sweep(COURTESY_S + 1.0, terminate=True)

    def sweep(self, seconds: float, *, terminate: bool = False) -> None:
        """Kill the rest of the worker: its process group, then its orphans.

        `terminate` is that of Orphans.sweep.
        """
        if self.pid:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0
        self._left.sweep(seconds, terminate=terminate)


def take_ready_descriptor() -> int | None:
    """Return the descriptor of this process's guard, None if it has no guard.

    It is taken out of the environment and closed to the processes that are started.
    """
    text = os.environ.pop(READY_FD, "")
    if not text.isdecimal():
        return None
    os.set_inheritable(int(text), False)
    return int(text)


def report_ready(descriptor: int) -> None:
    """Report to the guard that this process serves from now on."""
    with contextlib.suppress(OSError):
        os.write(descriptor, b"1")
    os.close(descriptor)


def log(text: str) -> None:
    """Write a line to the worker's log."""
    line = f"{time.strftime('%H:%M:%S')} guard[{os.getpid()}] {text}\n"
    # A full disk must not end the guard, and buffered text would fail at its exit.
    with contextlib.suppress(OSError):
        os.write(2, line.encode("utf-8", "backslashreplace"))


def sign_record(fd: int) -> None:
    """Write the pid of this guard into the locked record that it has been given."""
    # The lock must not outlive this guard in its worker.
    os.set_inheritable(fd, False)
    size = os.fstat(fd).st_size
    about = json.loads(os.pread(fd, size, 0)) | {"guard": os.getpid()}
    write_note(fd, json.dumps(about).ljust(size))


def main() -> int:
    """Guard the command that follows the options, a JSON object.

    They have `tries` and `alone` (standard input is not watched), and may have `record`,
    the path of a file that is locked while the guard lives, and its `descriptor`.
    """
    options, command = json.loads(sys.argv[1]), sys.argv[2:]
    alone, path = options["alone"], options.get("record")
    if path:
        sign_record(options["descriptor"])
    try:
        return Guard(command, tries=options["tries"], watch=not alone).run()
    finally:
        if path and alone:
            for one in (path, Path(path).with_suffix(".sources")):
                with contextlib.suppress(OSError):
                    os.unlink(one)


if __name__ == "__main__":
    sys.exit(main())
