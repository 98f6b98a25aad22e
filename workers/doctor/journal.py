"""The check of `manage.py doctor` for the journal: its size, and what waits for the archive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from engine.store.redis import STATE
from engine.store.redis_reads import READ_ENTRIES
from workers.doctor.check_result import CheckResult, fail, ok, warn

COUNT_S: Final = 2.0
"""How long entries are counted."""
LATE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the archive is behind: entries, and the age of the oldest of them."""

    entries: int
    seconds: float
    is_all: bool
    """Whether all entries were counted."""

    def __str__(self) -> str:
        """Return it in words."""
        if not self.entries:
            return "no entry waits for the archive"
        least = "" if self.is_all else "at least "
        words = "entry waits" if self.entries == 1 else "entries wait"
        return (
            f"{least}{self.entries} {words} for the archive, the oldest for"
            f" {self.seconds:.1f} s"
        )


def lag_of(client: Any, count_s: float = COUNT_S) -> Lag:
    """Return how far the archive is behind; the count ends after some seconds."""
    seconds, micros = client.time()
    now_ms, until = seconds * 1000 + micros // 1000, time.monotonic() + count_s
    mark = (client.get(f"{STATE}archived") or b"0").decode()
    number, oldest_ms = 0, now_ms
    while page := client.xrange(f"{STATE}j", f"({mark}", "+", count=READ_ENTRIES):
        if not number:
            oldest_ms = int(page[0][0].partition(b"-")[0])
        number += len(page)
        mark = page[-1][0].decode()
        if time.monotonic() > until:
            return Lag(number, max(0, now_ms - oldest_ms) / 1000, is_all=False)
    return Lag(number, max(0, now_ms - oldest_ms) / 1000, is_all=True)


def findings(client: Any) -> Iterator[CheckResult]:
    """Yield the size of the journal and the lag of the archive."""
    size = int(client.memory_usage(f"{STATE}j") or 0)
    limit, lag = settings.SWARM_JOURNAL_LIMIT, lag_of(client)
    text = f"{size} of {limit} bytes; {lag}"
    if size > limit:
        hint = (
            "launches are refused: check that a worker is up and the database answers"
        )
        yield fail(text, hint)
    elif lag.seconds > LATE_S:
        yield warn(
            text, "nothing is archived: check that a worker is up and has a steward"
        )
    elif size > limit // 2:
        yield warn(
            text, "the archive falls behind: check that the database is fast enough"
        )
    else:
        yield ok(text)
