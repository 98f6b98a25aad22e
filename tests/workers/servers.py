"""Commands that hold an embedded server, and what is asked of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from workers.server import (
    ServerInfo,
)

ROOT = Path(__file__).resolve().parents[2]

# A command of the same checkout: holds the server until its stdin ends.
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from workers.server import embedded_server
with embedded_server(Path(sys.argv[2]), idle=float(sys.argv[3])) as info:
    print(info.url, info.pid, info.adopted, flush=True)
    sys.stdin.read()
"""


class Command:
    """One such process."""

    def __init__(self, var: Path, idle: float = 30) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(ROOT), str(var), str(idle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> tuple[str, int, bool]:
        assert self.process.stdout is not None
        url, pid, adopted = self.process.stdout.readline().split()
        return url, int(pid), adopted == "True"

    def end(self, *, kill: bool = False) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if kill:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def mentioning(text: str) -> list[str]:
    """Lists the processes (but this one) that have `text` in their command line."""
    found = []
    for line in subprocess.check_output(
        ["ps", "axww", "-o", "pid=,args="], text=True
    ).splitlines():
        pid, _, args = line.strip().partition(" ")
        if text in args and int(pid) != os.getpid():
            found.append(line)
    return found


def until(condition: Callable[[], bool], seconds: float) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - begun


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
