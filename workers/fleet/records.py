"""The records of what does steps here: commands with workers, and single workers.

A record is locked as long as a process lives that has its descriptor: the command that
made it, the guard of its worker, or the worker itself. Readers remove unlocked ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.agent_sources import Hashes
from workers.fleet import worker_guard
from workers.process.posix import began, is_running, lock, try_lock, write_note

SOURCES: Final = ".sources"
"""The suffix of the file beside a record that says which modules its workers have."""
RECORD_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """What does steps: who it is, which queues it serves, what its own run needs."""

    name: str
    who: str
    process: int
    queues: tuple[str, ...]
    shared: bool = False
    """Whether its workers are meant for the runs of other commands."""
    needs: Mapping[str, Mapping[str, Hashes]] = field(default_factory=dict)
    """The sources of the functions of its run, by queue and function."""
    guard: int = 0
    """The pid of the guard of its worker, 0 before there is one."""
    bind: str = ""
    """The address of a web server; empty for what does steps."""

    @property
    def known_as(self) -> str:
        """Who it is for a person; what was kept has outlived its command."""
        pid = self.process if is_running(self.process) else self.guard
        return f"{self.who} (process {pid})"

    @property
    def file(self) -> Path:
        """The file of this record."""
        return _folder() / f"{self.name}.json"


@dataclass(frozen=True, slots=True)
class Held:
    """A record that this process holds."""

    record: Record
    fd: int

    def pass_on(self) -> None:
        """Leave the record to the processes that have its descriptor too."""
        os.close(self.fd)

    def release(self) -> None:
        """Remove the record."""
        _remove(self.record.file)
        os.close(self.fd)


def hold_record(record: Record) -> Held:
    """Write and lock a record."""
    while True:
        fd = lock(record.file, RECORD_S)
        with contextlib.suppress(OSError):
            if record.file.stat().st_ino == os.fstat(fd).st_ino:
                break
        # A reader has removed it meanwhile.
        os.close(fd)
    # With room for the pid of a guard, which makes the text no longer for its readers.
    write_note(fd, json.dumps(asdict(record)) + 16 * " ")
    return Held(record, fd)


def records() -> list[Record]:
    """Return the records of all that runs here."""
    found: list[Record] = []
    for path in sorted(_folder().glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            fd = try_lock(path, shared=True)
            if fd is not None:
                try:
                    _remove(path)
                finally:
                    os.close(fd)
                continue
            fields = json.loads(path.read_text())
            found.append(Record(**{**fields, "queues": tuple(fields["queues"])}))
    return found


def shared_fleets() -> list[Record]:
    """Return the fleets that do the steps of other commands' runs."""
    return [record for record in records() if record.shared]


def serving(queues: Iterable[str]) -> list[Record]:
    """Return the shared fleets that together serve queues, empty if they don't."""
    fleets, wanted = shared_fleets(), set(queues)
    served = {queue for fleet in fleets for queue in fleet.queues}
    if not wanted <= served:
        return []
    return [fleet for fleet in fleets if wanted & set(fleet.queues)]


def stop_shared() -> int:
    """End the shared fleets of this installation; return how many there were."""
    fleets = [fleet for fleet in shared_fleets() if fleet.guard]
    running = {fleet.guard: began(fleet.guard) for fleet in fleets}
    for guard in running:
        with contextlib.suppress(OSError):
            os.kill(guard, signal.SIGTERM)
    until = time.monotonic() + worker_guard.STOP_S
    while time.monotonic() < until and any(
        is_running(guard) and began(guard) == since for guard, since in running.items()
    ):
        time.sleep(0.05)
    return len(fleets)


def sources_file(record: Record) -> Path:
    """Return the file in which a record's workers say what they have loaded."""
    return record.file.with_suffix(SOURCES)


def _remove(path: Path) -> None:
    for one in (path, path.with_suffix(SOURCES)):
        one.unlink(missing_ok=True)


def _folder() -> Path:
    folder = Path(settings.VAR_DIR) / "fleets"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
