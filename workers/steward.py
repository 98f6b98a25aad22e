"""The steward: the process that keeps runs moving when something got lost.

It fires timers, expires leases, dispatches again what kombu lost, archives the journal,
starts runs that were launched and never started, and removes what is retired. Every
action is idempotent, so two stewards at once are harmless.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections, connections
from django.utils import timezone

from blueprints.models import Run
from engine.run.states import RunStatus
from engine.store.redis import RedisStore
from workers.archive import Archiver
from workers.launching import start_run
from workers.runtime import epoch, make_store

logger = logging.getLogger("workers.steward")

LOCK_TTL_MS = 3000
LOST_MESSAGE_MS = 5000
NEVER_STARTED_S = 2.0
TICK_S = 0.1
ARCHIVE_S = 0.5


@dataclass
class Duty:
    """Something done every so often."""

    every_s: float
    act: Callable[[], object]
    due: float = field(default=0.0)


class Steward:
    """Does its duties while it holds the lock in Redis."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; nothing is connected yet."""
        self.store = store
        self.who = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self.archiver = Archiver(store)
        self._elected_at = 0.0
        self._lease_s = settings.SWARM_LEASE
        self._watching_since = 0.0
        self._last_look = 0.0
        self._duties = [
            Duty(TICK_S, store.fire),
            Duty(0.5, self.expire),
            Duty(1.0, lambda: store.repeat(LOST_MESSAGE_MS)),
            Duty(1.0, self.start_launched),
            Duty(5.0, self.find_interrupted),
            # In batches: a transaction for every entry would cost more than the step.
            Duty(ARCHIVE_S, self.archiver.turn),
        ]

    def elected(self) -> bool:
        """Take or keep the lock."""
        now = time.monotonic()
        if now - self._elected_at < 0.5:
            return True
        if self.store.elect(self.who, LOCK_TTL_MS) < 0:
            self._elected_at = 0.0
            return False
        self._elected_at = now
        return True

    def turn(self) -> bool:
        """Do what is due; False when another steward holds the lock."""
        if not self.elected():
            return False
        now = time.monotonic()
        # A lease is expired only after one lease of watching this Redis without a gap,
        # so that an outage does not make every running step run twice.
        if now - self._last_look > 2.0:
            self._watching_since = now
        self._last_look = now
        for duty in self._duties:
            if now >= duty.due:
                duty.due = now + duty.every_s
                duty.act()
        return True

    def expire(self) -> None:
        """Take back overdue leases, a page at a time."""
        if time.monotonic() - self._watching_since < self._lease_s:
            return
        while self.store.expire(settings.SWARM_MAX_LOST) >= 100:
            pass

    def start_launched(self) -> None:
        """Start runs whose launcher died between their row and their keys.

        A run that names another Redis than this one is interrupted instead: what it
        did there is unknown, and it never starts from zero.
        """
        before = timezone.now() - timedelta(seconds=NEVER_STARTED_S)
        here = epoch(self.store)
        for run in Run.objects.filter(status=RunStatus.PENDING, created_at__lt=before)[
            :50
        ]:
            if run.epoch != here:
                self._interrupt(run)
                continue
            try:
                start_run(self.store, run)
            except (ValueError, LookupError) as error:
                # One row that can't be started must not keep the others waiting.
                logger.error("run %s can't be started: %s", run.pk, error)

    def find_interrupted(self) -> None:
        """Mark running runs whose Redis has lost them."""
        before = timezone.now() - timedelta(seconds=10)
        here = epoch(self.store)
        open_runs = Run.objects.filter(
            status__in=(RunStatus.RUNNING, RunStatus.PAUSED), started_at__lt=before
        ).only("id", "status", "epoch")
        for run in open_runs[:500]:
            if run.epoch != here or self.store.head(run.pk) is None:
                # It may have ended and been removed between the two looks.
                if self.archiver.behind(run.pk):
                    continue
                self._interrupt(run)

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

    def leave(self) -> None:
        """Give the lock up, so that the next steward need not wait for it to expire."""
        self.store.abdicate(self.who)


def parent_is_gone(wait_s: float) -> bool:
    """Tell whether the worker that spawned us closed its end of our standard input."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], wait_s)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def be_modest() -> None:
    """Give way to the steps: archiving must not slow down what it archives."""
    os.nice(15)
    # A session of its own is a scheduling group of its own on Linux, and niceness counts
    # only within a group; the group has one too (man 7 sched, autogroup).
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("15")


def main() -> None:
    """Run until the parent is gone; what fails is logged and tried again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    # Under DEBUG Django keeps every statement, with its parameters quoted by the
    # database: that costs more than archiving itself.
    settings.DEBUG = False
    be_modest()
    steward = Steward(make_store(timeout=5.0))
    said, pause = "", 0.5
    while not stop and not parent_is_gone(TICK_S):
        try:
            if not steward.turn():
                time.sleep(0.5)
            said, pause = "", 0.5
        except Exception as error:
            if str(error) != said:
                said = str(error)
                logger.warning("steward: %s; trying again", error)
            close_old_connections()
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
    try:
        steward.archiver.turn()
        steward.leave()
    except Exception as error:
        logger.info("steward: leaving without the lock: %s", error)
    connections.close_all()
