"""What a child process is given: its words, environment and limits, checked and packed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blueprints.child_programs import find_program

DEFAULT_ALLOW = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one process: seconds, bytes, a count, bytes; None: as ours.

    `memory` counts what a process has for itself and writes to, which is what it can
    use up; `address_space` also what runtimes such as Node's only reserve.
    """

    cpu_s: int | None = None
    memory: int | None = None
    address_space: int | None = None
    open_files: int | None = None
    file_size: int | None = None

    def rlimits(self) -> list[tuple[int, int, int]]:
        """Gives (resource number, soft, hard) for each limit; core files are off."""
        found = [(resource.RLIMIT_CORE, 0, 0)]
        if self.cpu_s is not None:
            # SIGXCPU at the limit, SIGKILL a second later if that is caught.
            found.append((resource.RLIMIT_CPU, self.cpu_s, self.cpu_s + 1))
        if self.open_files is not None:
            found.append((resource.RLIMIT_NOFILE, self.open_files, self.open_files))
        if self.file_size is not None:
            found.append((resource.RLIMIT_FSIZE, self.file_size, self.file_size))
        if self.memory is not None:
            found.append((resource.RLIMIT_DATA, self.memory, self.memory))
        if self.address_space is not None:  # last: it binds the launcher's child too
            size = self.address_space
            found.append((resource.RLIMIT_AS, size, size))
        return found


def environment(
    allow: Iterable[str] = DEFAULT_ALLOW,
    extra: Mapping[str, str] | None = None,
    *,
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Builds a child's environment: the allowed names of ours, then `extra`.

    `source` is read in place of this process's environment when given.
    """
    ours = os.environ if source is None else source
    found = {name: ours[name] for name in allow if name in ours}
    if "PATH" in found:
        # A part that is not absolute would be looked for where the child stands.
        parts = found["PATH"].split(os.pathsep)
        found["PATH"] = os.pathsep.join(filter(os.path.isabs, parts))
    return found | dict(extra or {})


def make_job(
    argv: list[str], env: Mapping[str, str], cwd: str | None, limits: Limits
) -> dict[str, Any]:
    """Checks what a process is to be given and puts it into the launcher's form."""
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
    words = [find_program(argv[0]), *argv[1:]]
    return {
        "argv": [_bytes(part) for part in words],
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
    """Gives the bytes of `text` as latin-1, whatever the two processes' encodings."""
    return os.fsencode(text).decode("latin-1")
