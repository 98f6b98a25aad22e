"""The job of a launcher: arguments, environment and limits of a child process, checked."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blueprints.child_programs import absolute_folders, find_program

DEFAULT_ALLOW = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Resource limits of one process: seconds, bytes, a count, bytes; None: as ours.

    `memory` counts private writable memory; runtimes such as Node's reserve far more
    address space than they use.
    """

    cpu_s: int | None = None
    memory: int | None = None
    open_files: int | None = None
    file_size: int | None = None

    def rlimits(self) -> list[tuple[int, int, int]]:
        """Return (resource number, soft, hard) for each limit; core files are off."""
        found = [
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, self.cpu_s),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_FSIZE, self.file_size),
            (resource.RLIMIT_DATA, self.memory),
        ]
        # SIGXCPU at the limit, SIGKILL a second later if that is caught.
        return [
            (number, size, size + (number == resource.RLIMIT_CPU))
            for number, size in found
            if size is not None
        ]


def environment(
    allow: Iterable[str] = DEFAULT_ALLOW, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a child's environment: the allowed names of ours, then `extra`."""
    found = {name: os.environ[name] for name in allow if name in os.environ}
    if "PATH" in found:
        found["PATH"] = absolute_folders(found["PATH"])
    return found | dict(extra or {})


def make_job(
    argv: list[str], env: Mapping[str, str], cwd: str | None, limits: ChildLimits
) -> dict[str, Any]:
    """Check arguments, environment and directory; return them in the launcher's form."""
    if not argv or not argv[0]:
        raise ValueError("argv must name a program")
    for number, part in enumerate(argv):
        _check(part, f"argv[{number}]")
    for name, value in env.items():
        _check(name, f"the environment name {name!r}")
        if not name or "=" in name:
            raise ValueError(f"{name!r} is not a name for an environment variable")
        _check(value, f"the environment variable {name}")
    if cwd is not None:
        _check(cwd, "cwd")
    return {
        "argv": [_bytes(part) for part in (find_program(argv[0]), *argv[1:])],
        "env": [[_bytes(name), _bytes(value)] for name, value in env.items()],
        "cwd": None if cwd is None else _bytes(cwd),
        "limits": limits.rlimits(),
    }


def _check(text: str, what: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{what} must be text, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"{what} contains a NUL character")


def _bytes(text: str) -> str:
    """Return the bytes of `text` as latin-1, whatever the two processes' encodings."""
    return os.fsencode(text).decode("latin-1")
