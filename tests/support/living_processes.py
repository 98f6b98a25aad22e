"""Living processes, from /proc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def state(pid: int) -> str:
    """Return the state letter of a process, "" when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def alive(pid: int) -> bool:
    """Return whether a process lives and is not a zombie."""
    return state(pid) not in ("", "Z")


def with_variable(name: str, value: object) -> list[str]:
    """Return the command lines of other processes started with a variable."""
    found = []
    mark = f"{name}={value}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def mentioning(text: str) -> list[str]:
    """Return the other processes that have `text` in their command line."""
    found = []
    for line in subprocess.check_output(
        ["ps", "axww", "-o", "pid=,args="], text=True
    ).splitlines():
        pid, _, args = line.strip().partition(" ")
        if text in args and int(pid) != os.getpid():
            found.append(line)
    return found
