"""Worker processes: started, waited for, weighed, stopped. Linux only (/proc)."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Worker:
    """A `celery worker` with two prefork children, and whatever it spawns."""

    def __init__(self, app: str, queue: str, env: Mapping[str, str], log: Path) -> None:
        """Start it; `log` gets what it prints."""
        self.log = log
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", queue]
        command += ["-c", "2", "--loglevel", "WARNING", "-n", f"{queue}@bench"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def check(self) -> None:
        """Raise RuntimeError with the end of the log if the worker has ended."""
        if self.process.poll() is not None:
            text = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"a worker ended ({self.process.returncode}):\n{text}")

    def megabytes(self) -> float:
        """Return the resident memory of the worker and all its descendants."""
        return sum(map(_resident, descendants(self.process.pid)))

    def stop(self) -> None:
        """End it warmly, then by force, with all it spawned."""
        family = descendants(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        """Give the running worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


def descendants(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB
    except OSError:
        return 0.0
