"""Detect that Redis or the disk accepts no more data, so that runs can only wait."""

from __future__ import annotations

import tempfile
import time
from typing import Final

import redis
from django.conf import settings
from django.utils import timezone

from blueprints.conf import output_store
from blueprints.models import Run
from engine.output_store import OutputsAway
from engine.store.redis import RedisStore
from engine.store.server_url import RedisUnwritable
from workers.wiring import make_store

PROBE_S: Final = 1.0
GRACE_S: Final = 3.0
"""How long after its deadline a run is reported as overdue without Redis."""
MOST_NEEDED: Final = 8 * 2**20
"""The bytes of room for outputs below which that is reported: a value may be so large."""
FREE_AGAIN: Final = "There is free space again: the run continues."


class Overdue(Exception):
    """A run is past its deadline, which Redis can't record; the text says what is full."""


class StorageWatch:
    """Report once what is full while a run is followed, and once that it is free again."""

    def __init__(self, run: Run) -> None:
        """Read the run's deadline; connect to nothing yet."""
        self._store = make_store(timeout=PROBE_S, resend_silent=False)
        self._until = float("inf")
        if run.deadline_at is not None:
            left = (run.deadline_at - timezone.now()).total_seconds()
            self._until = time.monotonic() + left + GRACE_S
        self.full = ""

    def check(self) -> str:
        """Return the text to print if what is full has changed, else an empty one.

        Raise Overdue if the run is past its deadline and Redis can't record that.
        """
        before, self.full = self.full, redis_fault(self._store)
        if self.full and time.monotonic() > self._until:
            raise Overdue(self.full)
        if not self.full and (fault := var_fault() or outputs_fault()):
            self.full = (
                f"{fault}: free some space. The run continues meanwhile if it can."
            )
        if self.full == before:
            return ""
        return self.full or FREE_AGAIN

    def close(self) -> None:
        """Close the connection."""
        self._store.wire.close()


def redis_fault(store: RedisStore) -> str:
    """Return why a Redis that answers accepts no writes; empty if it accepts them.

    A Redis that does not answer is no lack of space: its next caller reports it.
    """
    try:
        # A server that can't write to its disk refuses PING, though not a read.
        store.wire.call("PING")
    except RedisUnwritable as error:
        return str(error)
    except (redis.RedisError, OSError):
        pass
    return ""


def outputs_fault() -> str:
    """Return why a large value may find no room among the outputs; empty if it finds it."""
    try:
        store = output_store()
        room = store.room()
    except OutputsAway as error:
        return str(error)
    if room is None or room >= MOST_NEEDED:
        return ""
    return f"{store}, where large values are kept, has room for {room} bytes only"


def var_fault() -> str:
    """Return why the installation's folder can't be written; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=settings.VAR_DIR, buffering=0) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        return f"{settings.VAR_DIR} can't be written ({error.strerror})"
    return ""
