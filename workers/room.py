"""Tells that Redis or the disk takes nothing more: all a run can do then is wait."""

from __future__ import annotations

import tempfile
import time
from typing import Final

import redis
from django.conf import settings
from django.utils import timezone

from blueprints.models import Run
from engine.store.address import RedisUnwritable
from engine.store.redis import RedisStore
from workers.runtime import make_store

PROBE_S: Final = 1.0
GRACE_S: Final = 3.0
"""How long past its deadline a run may be before its end is told without Redis."""
AGAIN: Final = "there is room again: the run goes on"


class Overdue(Exception):
    """A run is past its deadline, which nothing can note; the text says what is full."""


class Room:
    """Says once what is full while a run is followed, and once that it is no more."""

    def __init__(self, run: Run) -> None:
        """Take the run's deadline; nothing is asked yet."""
        self._store = make_store(timeout=PROBE_S, resend_silent=False)
        left = (
            (run.deadline_at - timezone.now()).total_seconds() if run.deadline_at else 0
        )
        self._until = time.monotonic() + left + GRACE_S if left else float("inf")
        self.full = ""

    def look(self) -> str:
        """Return what a person should know and was not told yet, mostly nothing.

        Raises Overdue when the run is past its deadline and Redis can't note that.
        """
        before, self.full = self.full, redis_fault(self._store)
        if self.full and time.monotonic() > self._until:
            raise Overdue(self.full)
        if not self.full and (fault := var_fault()):
            self.full = f"{fault}: free some space; the run goes on meanwhile if it can"
        if self.full == before:
            return ""
        return self.full or AGAIN

    def close(self) -> None:
        """Hang up."""
        self._store.wire.close()


def redis_fault(store: RedisStore) -> str:
    """Return why Redis takes nothing although it answers, empty when it does.

    One that does not answer is no lack of room: whoever needs it finds out.
    """
    try:
        # Refused, other than a read, by a server that can't write to its disk.
        store.wire.call("PING")
    except RedisUnwritable as error:
        return str(error)
    except (redis.RedisError, OSError):
        pass
    return ""


def var_fault() -> str:
    """Return why the installation's folder can't be written, empty when it can."""
    try:
        with tempfile.TemporaryFile(dir=settings.VAR_DIR, buffering=0) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        return f"{settings.VAR_DIR} can't be written ({error.strerror})"
    return ""
