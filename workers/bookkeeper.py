"""The steward's bookkeeper: what the steward does with the database, in its own thread.

A database that hangs holds up this thread alone: timers, leases and lost messages are
looked after beside it. It works only while its steward holds the lock.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import redis
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
)
from django.utils import timezone

from blueprints.models import Run
from blueprints.services.installations import installation_name
from engine.run.outcomes import as_text
from engine.run.states import RunStatus
from engine.store.base import StoreFull
from engine.store.redis import STATE, RedisStore
from workers.archive import Archiver
from workers.duties import Duty, do_due
from workers.installation import ForeignRedis, hold_redis
from workers.launching import give_up, start_run
from workers.runtime import epoch

logger = logging.getLogger("workers.steward")

NEVER_STARTED_S = 2.0
LOST_S = 10.0
LOOK_S = 0.1
ARCHIVE_S = 0.5
TURN_S = 0.5
"""How long one look at open runs may take; the next one goes on where it ended."""
MAX_PAUSE_S = 5.0
NICE = 15
STARTS: Final = 50
MOST_REFUSALS: Final = 5
NOT_ITS_FAULT: Final = (
    redis.RedisError,
    ConnectionError,
    TimeoutError,
    OperationalError,
    InterfaceError,
)
"""What the start of a run raises when Redis or the database is away, or full.

No plain OSError: that may be the run's own doing."""
PAGE: Final = 500


def be_modest() -> None:
    """Make this thread give way to the steps: archiving must not slow what it archives.

    The steward's other thread, which keeps timers and leases, does not give way. Linux
    alone has niceness a thread (man 2 setpriority); elsewhere nothing is changed.
    """
    if sys.platform.startswith("linux"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Bookkeeper(threading.Thread):
    """Archives the journal, starts what was launched, marks what Redis has lost."""

    def __init__(self, store: RedisStore, leads: Callable[[], bool]) -> None:
        """Prepare the thread; `leads` tells whether its steward holds the lock now.

        The thread is a daemon: a database that hangs keeps no process alive.
        """
        super().__init__(name="swarm-bookkeeper", daemon=True)
        self.store = store
        self.archiver = Archiver(store)
        self._leads = leads
        self._ending = threading.Event()
        self._refused: dict[str, int] = {}
        """How often Redis refused to start a run while it took other things."""
        self._name = ""
        self.refused = False
        """Whether this Redis is another installation's: its steward does nothing then."""
        self._looked_at = ""
        """The last open run that was looked for in Redis; ids are in order of time."""
        self._duties = [
            Duty(1.0, self.start_launched),
            Duty(5.0, self.find_interrupted),
            # In batches: a transaction for every entry would cost more than the step.
            Duty(ARCHIVE_S, self.archiver.turn),
        ]

    def run(self) -> None:
        """Do the duties until told to end; what fails is logged and tried again."""
        be_modest()
        said, pause = "", LOOK_S
        while not self._ending.wait(pause):
            try:
                self._hold()
                if not do_due(self._duties, self._leads):
                    # A statement that failed may have broken its connection.
                    close_old_connections()
                said, pause = "", LOOK_S
            except Exception as error:
                if str(error) != said:
                    said = str(error)
                    logger.warning("steward: %s; trying again", error)
                close_old_connections()
                pause = min(2 * max(pause, 0.25), MAX_PAUSE_S)
        try:
            if self._leads() and not self.refused:
                self.archiver.turn()
        except Exception as error:
            logger.info("steward: leaving without a last look: %s", error)
        connections.close_all()

    def _hold(self) -> None:
        """Make sure that this Redis is still ours; an emptied one becomes ours again."""
        self._name = self._name or installation_name()
        try:
            hold_redis(self.store, self._name)
        except ForeignRedis:
            self.refused = True
            raise
        except StoreFull as error:
            logger.info("steward: this Redis has no name yet: %s", error)
        self.refused = False

    def end(self, wait_s: float) -> None:
        """Archive once more and end; after `wait_s` seconds nobody waits any longer."""
        self._ending.set()
        self.join(wait_s)

    def start_launched(self) -> None:
        """Start runs whose launcher died between their row and their keys.

        A run that names another Redis than this one is interrupted instead: what it
        did there is unknown, and it never starts from zero. One that can't be started
        ends as failed, so that it keeps nothing else waiting.
        """
        before = timezone.now() - timedelta(seconds=NEVER_STARTED_S)
        here = epoch(self.store)
        late = Run.objects.filter(status=RunStatus.PENDING, created_at__lt=before)
        for run in late.order_by("pk")[:STARTS]:
            if run.epoch != here:
                self._interrupt(run)
                continue
            try:
                start_run(self.store, run)
            except NOT_ITS_FAULT as error:
                self._put_off(run, error)
            except Exception as error:
                self._fail(run, error)
            else:
                self._refused.pop(run.pk, None)

    def find_interrupted(self) -> None:
        """Mark running runs whose Redis has lost them, oldest first, page by page."""
        before = timezone.now() - timedelta(seconds=LOST_S)
        here = epoch(self.store)
        until = time.monotonic() + TURN_S
        open_runs = Run.objects.filter(
            status__in=(RunStatus.RUNNING, RunStatus.PAUSED), started_at__lt=before
        ).only("id", "status", "epoch")
        while True:
            page = open_runs.filter(pk__gt=self._looked_at).order_by("pk")[:PAGE]
            runs = list(page)
            for run in runs:
                lost = run.epoch != here or self.store.head(run.pk) is None
                # It may have ended and been removed between the two looks.
                if lost and not self.archiver.behind(run.pk):
                    self._interrupt(run)
                if time.monotonic() > until:
                    self._looked_at = run.pk
                    return
            self._looked_at = runs[-1].pk if len(runs) == PAGE else ""
            if not self._looked_at or time.monotonic() > until:
                return

    def _put_off(self, run: Run, error: Exception) -> None:
        """Let the others start first; a run that is refused again and again has failed.

        Raises `error` where it is not this run that is refused: Redis takes nothing.
        """
        if isinstance(error, (StoreFull, OperationalError, InterfaceError)):
            raise error
        # A command that writes, so that it is refused as the start would be, and changes
        # nothing; who is not answered either raises what ends this look.
        self.store.wire.call("PERSIST", f"{STATE}epoch")
        times = self._refused.pop(run.pk, 0) + 1
        if times >= MOST_REFUSALS:
            self._fail(run, error)
        else:
            self._refused[run.pk] = times

    def _fail(self, run: Run, error: Exception) -> None:
        text = as_text(f"the run can't be started: {error or type(error).__name__}")
        if give_up(self.store, run, text):
            logger.error("run %s: %s", run.pk, text)

    def _interrupt(self, run: Run) -> None:
        changed = Run.objects.filter(
            pk=run.pk,
            status__in=(RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED),
        ).update(
            status=RunStatus.INTERRUPTED,
            error={"kind": "RedisLost", "text": "Redis lost this run's state"},
        )
        if changed:
            logger.warning("run %s is interrupted: Redis lost its state", run.pk)
