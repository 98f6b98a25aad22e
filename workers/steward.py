"""The steward: the process that keeps runs moving when something got lost.

It fires timers, expires leases and dispatches again what kombu lost; all that needs the
database is done by its bookkeeper (bookkeeper.py). Every action is idempotent, so two
stewards at once are harmless.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time

from django.conf import settings

from engine.store.redis import RedisStore
from workers.bookkeeper import Bookkeeper
from workers.duties import Duty, do_due
from workers.passed_time import PassedTime
from workers.process.privacy import hide
from workers.runtime import make_store

logger = logging.getLogger("workers.steward")

LOCK_TTL_MS = 3000
LOST_MESSAGE_MS = 5000
TICK_S = 0.1
ELECT_S = 0.5
FIRE_S = 0.5
GAP_S = 2.0
"""How long nobody may hear of Redis without leases being given that much longer."""
LAST_LOOK_S = 3.0
"""How long a steward that leaves waits for its last archiving; its worker waits 5 s."""


class Steward:
    """Does its duties while it holds the lock in Redis."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; nothing is connected yet."""
        self.store = store
        self.who = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._elected_at = float("-inf")
        self._noted, self._noted_at = b"", float("-inf")
        self._time = PassedTime(store)
        self._lease_s = settings.SWARM_LEASE
        self._watching_since = 0.0
        self._last_look = 0.0
        self._duties = [
            Duty(TICK_S, self.fire),
            Duty(0.5, self.expire),
            Duty(1.0, lambda: store.repeat(LOST_MESSAGE_MS, self._time.latest())),
            Duty(1.0, store.finish_resumes),
            Duty(1.0, store.finish_removals),
        ]

    def elected(self) -> bool:
        """Take or keep the lock."""
        now = time.monotonic()
        if now - self._elected_at < ELECT_S:
            return True
        # Its key may outlive a dead holder for as long as the clock was set back by.
        gone = now - self._noted_at > 2 * LOCK_TTL_MS / 1000
        seen = self._noted if gone else b""
        fence, noted = self.store.elect(self.who, LOCK_TTL_MS, seen)
        if noted != self._noted:
            self._noted, self._noted_at = noted, now
        if fence < 0:
            self._elected_at = float("-inf")
            return False
        # As of before the call, so that we never think longer than Redis that it is ours.
        self._elected_at = now
        return True

    def leads(self) -> bool:
        """Tell whether the lock is surely still ours; safe from any thread.

        It ends by itself when the lock can't be kept: Redis is away or we were stopped.
        """
        return time.monotonic() - self._elected_at < LOCK_TTL_MS / 1000

    def turn(self) -> bool:
        """Do what is due; False when another steward holds the lock."""
        if not self.elected():
            # Clocks of two hosts drift: after a while without looks ours proves nothing.
            self._time = PassedTime(self.store)
            return False
        self._look()
        self._look_at_clock()
        do_due(self._duties, self.leads)
        return True

    def _look(self) -> None:
        """Note that Redis answers: for how long it has done so without a gap."""
        now = time.monotonic()
        if now - self._last_look > GAP_S:
            self._watching_since = now
        self._last_look = now

    def _look_at_clock(self) -> None:
        # While the clock was wrong leases may have been given that are over already.
        if not self._time.look():
            self.lost_sight()
            self._look()

    def lost_sight(self) -> None:
        """Note that Redis did not answer: nobody could renew a lease meanwhile."""
        self._last_look = float("-inf")

    def fire(self) -> None:
        """Fire what is due, a page at a time, for as long as other duties can wait."""
        until = time.monotonic() + FIRE_S
        while self.store.fire(self._time.latest()).more and time.monotonic() < until:
            pass

    def expire(self) -> None:
        """Take back overdue leases, a page at a time.

        Only after one lease of watching this Redis without a gap, so that an outage does
        not make every running step run twice; the call itself may come into one.
        """
        moved = 100
        while moved >= 100:
            self._look_at_clock()
            self._look()
            if time.monotonic() - self._watching_since < self._lease_s:
                return
            moved = self.store.expire(settings.SWARM_MAX_LOST, self._time.latest())

    def leave(self) -> None:
        """Give the lock up, so that the next steward need not wait for it to expire."""
        self._elected_at = float("-inf")
        self.store.abdicate(self.who)


def parent_is_gone(wait_s: float) -> bool:
    """Tell whether the worker that spawned us closed its end of our standard input."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], wait_s)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def main() -> None:
    """Run until the parent is gone; what fails is logged and tried again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    # Under DEBUG Django keeps every statement, with its parameters quoted by the
    # database: that costs more than archiving itself.
    settings.DEBUG = False
    # It has the environment of the worker that spawned it.
    hide()
    steward = Steward(make_store(timeout=5.0))
    bookkeeper = Bookkeeper(make_store(timeout=5.0), steward.leads)
    bookkeeper.start()
    said, pause, wait_s = "", 0.5, TICK_S
    while not stop and not parent_is_gone(wait_s):
        try:
            # Its lock ends by itself.
            leads = not bookkeeper.refused and steward.turn()
            wait_s = TICK_S if leads else ELECT_S
            said, pause = "", 0.5
        except Exception as error:
            if str(error) != said:
                said = str(error)
                logger.warning("steward: %s; trying again", error)
            steward.lost_sight()
            wait_s, pause = pause, min(2 * pause, 5.0)
    bookkeeper.end(LAST_LOOK_S)
    try:
        steward.leave()
    except Exception as error:
        logger.info("steward: leaving without the lock: %s", error)
