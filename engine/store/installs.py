"""Installs a generation of a run that has been under way: page by page, then at once.

Until it is opened, every script takes the generation for one that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.store.base import split_key
from engine.store.redis_reads import STATE
from engine.store.wire import Wire

Part = Literal["begin", "hash", "base", "log", "items", "results", "held"]
"""What one call of `Installs.install` writes (scripts/install.lua)."""
RESUMED: Final = b'{"e":[["run_resumed"]]}'


@dataclass(frozen=True, slots=True)
class Target:
    """The generation that is installed; `token` names its data."""

    run: str
    gen: int
    token: str


class InstallRefused(Exception):
    """A generation can't be installed; the text is the answer of the store."""


class Installs:
    """The calls of the RedisStore that install a generation."""

    wire: Wire

    def install(self, target: Target, part: Part, args: Sequence[Any]) -> None:
        """Write a part of a generation; raise InstallRefused if it is not this one's to write."""
        answer = self.wire.script(
            "install", target.run, target.gen, target.token, part, *args
        )
        if answer[0] != b"ok":
            raise InstallRefused(answer[0].decode())

    def open_installed(self, target: Target, status: str, deadline_ms: int) -> str:
        """Open an installed generation; return `ok`, or why it can't be opened.

        A `running` one starts with a resume of all that is held, a `paused` one waits.
        `deadline_ms` counts from now; 0 is none.
        """
        entry = RESUMED if status == "running" else b""
        args = (target.run, target.gen, target.token, status, entry, deadline_ms)
        answer: bytes = self.wire.script("open_installed", *args)[0]
        return answer.decode()

    def installing(self) -> set[tuple[str, int]]:
        """Return run and number of each generation that is not installed to its end."""
        found = self.wire.call("SMEMBERS", f"{STATE}installing")
        return {split_key(key.decode()) for key in found}
