"""Commands that use an embedded server, and questions about it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from workers.embedded_server.files import Paths, ServerInfo
from workers.embedded_server.server import IDLE, Hold, ensure_server
from workers.embedded_server.supervisor import shut_down

ROOT = Path(__file__).resolve().parents[2]

# A command of the same checkout: it uses the server until its stdin ends.
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from workers.embedded_server.server import Hold, ensure_server
hold = Hold(Path(sys.argv[2]))
info = ensure_server(Path(sys.argv[2]), idle=float(sys.argv[3]))
print(info.url, info.pid, flush=True)
sys.stdin.read()
hold.release()
"""


@contextlib.contextmanager
def embedded_server(
    var: Path, *, keep: bool = False, idle: float = IDLE
) -> Iterator[ServerInfo]:
    """Hold the server for the length of a block, starting it if there is none."""
    hold = Hold(var)
    try:
        yield ensure_server(var, keep=keep, idle=idle)
    finally:
        hold.release(keep=keep)


def stop_server(var: Path) -> None:
    """Stop supervisor and server, whoever has a hold; fine when none runs."""
    paths = Paths(var)
    paths.keep.unlink(missing_ok=True)
    shut_down(paths.supervisor)
    shut_down(paths.server)
    paths.record.unlink(missing_ok=True)


class Command:
    """One such process."""

    def __init__(self, var: Path, idle: float = 30) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(ROOT), str(var), str(idle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> tuple[str, int]:
        assert self.process.stdout is not None
        url, pid = self.process.stdout.readline().split()
        return url, int(pid)

    def end(self, *, kill: bool = False) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if kill:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def connect(info: ServerInfo) -> redis.Redis:
    return redis.Redis.from_url(info.url, retry=None, decode_responses=True)


def ask(info: ServerInfo, command: str, *arguments: str) -> Any:
    with contextlib.closing(connect(info)) as client:
        return client.execute_command(command, *arguments)


def answers(info: ServerInfo) -> bool:
    try:
        return bool(ask(info, "PING"))
    except (redis.RedisError, OSError):
        return False
