"""The steward's bookkeeper: a thread with the duties that need the database.

A database that hangs delays this thread alone, not timers, leases and lost messages. It
works only while its steward has the lock.
"""

from __future__ import annotations

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
from blueprints.services.installations import installation_get
from blueprints.services.outputs import check_outputs
from engine.output_store import OutputsAway
from engine.run.attempt.outcomes import as_text
from engine.run.states import RunStatus
from engine.store.base import StoreFull, generation_key
from engine.store.redis import STATE, RedisStore
from workers.archive.archiver import Archiver
from workers.broker.installation import ForeignRedis
from workers.runs.launch import fail_unstarted_run, start_run
from workers.runs.reconciling import LIVE, lags, mark_lost, reconcile
from workers.runs.retention import prune_by_settings
from workers.steward import logger
from workers.steward.periodic import Duty, Failures, do_due
from workers.wiring import archive_first

NEVER_STARTED_S = 2.0
LOST_S = 10.0
POLL_S = 0.1
ARCHIVE_S = 0.5
SYNC_S = 0.02
"""The same, and how often duties are looked for, where each step waits for the archive."""
RECONCILE_S = 0.5
PRUNE_S = 10.0
TURN_S = 0.5
"""How long one search of open runs, or one round of deletions, may take; the next one
continues where it ended."""
NICE = 15
STARTS: Final = 50
MOST_REFUSALS: Final = 5
NOT_ITS_FAULT: Final = (
    redis.RedisError,
    ConnectionError,
    TimeoutError,
    OutputsAway,
    OperationalError,
    InterfaceError,
)
"""Errors at the start of a run when Redis, outputs or the database are away, or full.

A plain OSError is not among them: the run itself may have caused it."""
PAGE: Final = 500


def lower_thread_priority() -> None:
    """Lower the priority of this thread, so that archiving does not slow steps.

    The steward's other thread, with timers and leases, keeps its priority. Only Linux
    has a niceness for each thread (man 2 setpriority); elsewhere this does nothing.
    """
    if sys.platform.startswith("linux"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Bookkeeper(threading.Thread):
    """Reconciles the data of Redis, archives the journal, starts launched runs."""

    def __init__(
        self,
        store: RedisStore,
        leads: Callable[[], bool],
        comparing: RedisStore | None = None,
    ) -> None:
        """Prepare the thread; `leads` returns whether its steward has the lock now.

        A `store` that is wary needs one for `comparing` that is not. The thread is a
        daemon: a database that hangs keeps no process alive.
        """
        super().__init__(name="swarm-bookkeeper", daemon=True)
        self.store = store
        self._comparing = comparing or store
        self.archiver = Archiver(store)
        self._leads = leads
        self._ending = threading.Event()
        self._refusals: dict[str, int] = {}
        """How often Redis refused to start a run, but not other commands."""
        self._reconciled_at = float("-inf")
        self.refused = False
        """Whether this Redis belongs to another installation: the steward then rests."""
        self._searched = ""
        """The last open run that was searched in Redis; ids are in order of time."""
        self._duties = [
            Duty(1.0, self.start_launched),
            Duty(5.0, self.find_lost),
            Duty(5.0, self.drop_installs),
            # In batches: a transaction for every entry would cost more than the step.
            Duty(SYNC_S if archive_first() else ARCHIVE_S, self.archiver.turn),
            Duty(PRUNE_S, self.prune),
        ]

    def run(self) -> None:
        """Do the duties until `end`; a failure is logged and tried again."""
        lower_thread_priority()
        failures = Failures()
        poll_s = SYNC_S if archive_first() else POLL_S
        while not self._ending.wait(failures.wait_s or poll_s):
            try:
                self._reconcile()
                if not do_due(self._duties, self._leads):
                    # A statement that failed may have broken its connection.
                    close_old_connections()
                failures.clear()
            except Exception as error:
                failures.note(error)
                close_old_connections()
        try:
            if self._leads() and not self.refused:
                self.archiver.turn()
        except Exception as error:
            logger.info("steward: leaving without archiving once more: %s", error)
        connections.close_all()

    def _reconcile(self) -> None:
        """Compare the data of Redis with the archive if they may have gone back."""
        if time.monotonic() - self._reconciled_at < RECONCILE_S:
            return
        try:
            self.archiver.server = reconcile(self._comparing).server
        except ForeignRedis:
            self.refused = True
            raise
        self._reconciled_at, self.refused = time.monotonic(), False

    def end(self, wait_s: float) -> None:
        """Archive once more and end; wait at most `wait_s` seconds for that."""
        self._ending.set()
        self.join(wait_s)

    def start_launched(self) -> None:
        """Start runs whose launcher died between writing their row and their keys.

        A run of another Redis is interrupted instead: it may go on there. A run that
        can't be started fails. A run that waits for one content delays no other, and
        that is raised after all runs.
        """
        away: OutputsAway | None = None
        before = timezone.now() - timedelta(seconds=NEVER_STARTED_S)
        here = installation_get().epoch
        late = Run.objects.filter(status=RunStatus.PENDING, created_at__lt=before)
        for run in late.exclude(opened_at__gte=before).order_by("pk")[:STARTS]:
            if run.epoch != here:
                mark_lost(run, waits=True)
                continue
            try:
                start_run(self.store, run)
            except OutputsAway as error:
                # A store that is away altogether ends the round here.
                check_outputs()
                away = error
            except NOT_ITS_FAULT as error:
                self._postpone(run, error)
            except Exception as error:
                self._fail(run, error)
            else:
                self._refusals.pop(run.pk, None)
        if away is not None:
            raise away

    def drop_installs(self) -> None:
        """Remove generations that were installed in part and will not be opened."""
        for run, gen in self.store.installing():
            pending = Run.objects.filter(
                pk=run, generation=gen, status=RunStatus.PENDING
            )
            if not pending.exists():
                # It stays if it has been opened since the list was read.
                self.store.remove(generation_key(run, gen), 0)

    def find_lost(self) -> None:
        """Mark open runs that Redis has lost, the oldest first, page by page."""
        before = timezone.now() - timedelta(seconds=LOST_S)
        until = time.monotonic() + TURN_S
        open_runs = Run.objects.filter(
            status__in=LIVE, lost_status="", started_at__lt=before
        ).only("id", "status", "lost_status", "archived_number", "generation")
        while True:
            page = open_runs.filter(pk__gt=self._searched).order_by("pk")[:PAGE]
            runs = list(page)
            for run in runs:
                key = generation_key(run.pk, run.generation)
                lost = lags(run, self.store.head_of(key))
                # The run may have ended, and its keys be removed, since the query.
                if lost and not self.store.may_archive(key):
                    self.store.freeze(key)
                    mark_lost(run, waits=False)
                if time.monotonic() > until:
                    self._searched = run.pk
                    return
            self._searched = runs[-1].pk if len(runs) == PAGE else ""
            if not self._searched or time.monotonic() > until:
                return

    def prune(self) -> None:
        """Delete old runs if the settings ask for it; the archive waits meanwhile."""
        pruned = prune_by_settings(self.store, TURN_S)
        if pruned and pruned.runs:
            logger.info("steward: %d old runs are deleted", len(pruned.runs))

    def _postpone(self, run: Run, error: Exception) -> None:
        """Start the other runs first; fail a run that Redis refuses repeatedly.

        Raises `error` if Redis refuses other commands, too.
        """
        if isinstance(error, (StoreFull, OperationalError, InterfaceError)):
            raise error
        # This command writes, so that Redis refuses it like a start, but changes nothing.
        # If it fails, its error ends this round.
        self.store.wire.call("PERSIST", f"{STATE}epoch")
        times = self._refusals.pop(run.pk, 0) + 1
        if times >= MOST_REFUSALS:
            self._fail(run, error)
        else:
            self._refusals[run.pk] = times

    def _fail(self, run: Run, error: Exception) -> None:
        text = as_text(f"the run can't be started: {error or type(error).__name__}")
        if fail_unstarted_run(self.store, run, text):
            logger.error("run %s: %s", run.pk, text)
