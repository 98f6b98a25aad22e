"""The steward: the process that keeps runs moving when a message or a worker is lost.

It fires timers, expires leases and dispatches lost messages again; its bookkeeper
(database_duties.py) does the work that needs the database. Every action is idempotent, so two
stewards at once are harmless.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

from django.conf import settings

from engine.store.redis import RedisStore
from workers.process.posix import hide
from workers.steward import logger
from workers.steward.database_duties import Bookkeeper
from workers.steward.output_sweep import OutputSweep
from workers.steward.periodic import Duty, Failures, do_due
from workers.steward.recoverer import Recoverer
from workers.steward.script_clock import ScriptClock
from workers.wiring import make_store

LOCK_TTL_MS = 3000
LOST_MESSAGE_MS = 5000
TICK_S = 0.1
ELECT_S = 0.5
FIRE_S = 0.5
GAP_S = 2.0
"""The longest silence of Redis that does not postpone the expiry of leases."""
LAST_ARCHIVING_S = 3.0
"""How long a steward that leaves waits for its last archiving; its worker waits 5 s."""


class Steward:
    """Does its duties while it has the lock in Redis."""

    def __init__(
        self, store: RedisStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Bind a store; nothing is connected yet. `clock` returns seconds."""
        self.store = store
        self._clock = clock
        self.who = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._elected_at = float("-inf")
        self._noted, self._noted_at = b"", float("-inf")
        self._script_clock = ScriptClock(store, clock)
        self._lease_s = settings.SWARM_LEASE
        self._watching_since = 0.0
        self._last_contact = 0.0
        self._duties = [
            Duty(TICK_S, self.fire, clock),
            Duty(0.5, self.expire, clock),
            Duty(1.0, self.repeat, clock),
            Duty(1.0, store.finish_resumes, clock),
            Duty(1.0, store.finish_removals, clock),
        ]

    def elected(self) -> bool:
        """Take or keep the lock."""
        now = self._clock()
        if now - self._elected_at < ELECT_S:
            return True
        # If the clock was set back, the key of a dead holder expires that much later.
        gone = now - self._noted_at > 2 * LOCK_TTL_MS / 1000
        seen = self._noted if gone else b""
        fence, noted = self.store.elect(self.who, LOCK_TTL_MS, seen)
        if noted != self._noted:
            self._noted, self._noted_at = noted, now
        if fence < 0:
            self._elected_at = float("-inf")
            return False
        # The time before the call, so that our lock never ends later than that in Redis.
        self._elected_at = now
        return True

    def leads(self) -> bool:
        """Return whether the lock is certainly still ours; safe from any thread.

        The lock expires when it can't be renewed: Redis is away or we were stopped.
        """
        return self._clock() - self._elected_at < LOCK_TTL_MS / 1000

    def turn(self) -> bool:
        """Do the due duties; return False when another steward has the lock."""
        if not self.elected():
            # The clocks of two hosts drift, so an old comparison proves nothing.
            self._script_clock = ScriptClock(self.store, self._clock)
            return False
        self._note_contact()
        self._check_clock()
        if self.store.standing().is_reconciled:
            do_due(self._duties, self.leads)
        else:
            # No lease could be renewed either.
            self.lose_contact()
        return True

    def _note_contact(self) -> None:
        """Note that Redis answers, and since when it has done so without a gap."""
        now = self._clock()
        if now - self._last_contact > GAP_S:
            self._watching_since = now
        self._last_contact = now

    def _check_clock(self) -> None:
        # Leases that were given while the clock was wrong may have expired already.
        if not self._script_clock.correct():
            self.lose_contact()
            self._note_contact()

    def lose_contact(self) -> None:
        """Note that Redis did not answer: no lease could be renewed meanwhile."""
        self._last_contact = float("-inf")

    def fire(self) -> None:
        """Fire due timers, a page at a time, for as long as other duties can wait."""
        until = self._clock() + FIRE_S
        while (
            self.store.fire(self._script_clock.latest()).more and self._clock() < until
        ):
            pass

    def repeat(self) -> None:
        """Dispatch again the messages that kombu has lost."""
        self.store.repeat(LOST_MESSAGE_MS, self._script_clock.latest())

    def expire(self) -> None:
        """Take back overdue leases, a page at a time.

        It waits until Redis has answered without a gap for the time of one lease, so
        that an outage does not make every running step run twice. The outage may begin
        between two pages. Leases that were ended, as their workers are dead, don't wait.
        """
        moved = 100
        while moved >= 100:
            self._check_clock()
            self._note_contact()
            watched = self._clock() - self._watching_since >= self._lease_s
            moved = self.store.expire(
                settings.SWARM_MAX_LOST,
                self._script_clock.latest(),
                only_ended=not watched,
            )

    def leave(self) -> None:
        """Release the lock, so that the next steward need not wait for its expiry."""
        self._elected_at = float("-inf")
        self.store.abdicate(self.who)


def parent_is_gone(wait_s: float) -> bool:
    """Return whether the worker that spawned us closed its end of our standard input."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], wait_s)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def main() -> None:
    """Run until the parent is gone; a failure is logged and tried again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    # Under DEBUG Django records every statement, which costs more than archiving.
    settings.DEBUG = False
    # The environment is that of the worker, with its secrets.
    hide()
    # On a server that is new to them their calls fail until the bookkeeper has compared it.
    steward = Steward(make_store(timeout=5.0, wary=True))
    bookkeeper = Bookkeeper(
        make_store(timeout=5.0, wary=True), steward.leads, make_store(timeout=5.0)
    )

    def may() -> bool:
        return steward.leads() and not bookkeeper.refused

    recoverer = Recoverer(make_store(timeout=5.0), may)
    sweep = OutputSweep(make_store(timeout=5.0), may)
    bookkeeper.start()
    recoverer.start()
    sweep.start()
    failures, wait_s = Failures(), TICK_S
    while not stop and not parent_is_gone(wait_s):
        try:
            # If the bookkeeper is refused, the lock expires.
            leads = not bookkeeper.refused and steward.turn()
            wait_s = TICK_S if leads else ELECT_S
            failures.clear()
        except Exception as error:
            failures.note(error)
            steward.lose_contact()
            wait_s = failures.wait_s
    recoverer.end()
    sweep.end()
    bookkeeper.end(LAST_ARCHIVING_S)
    try:
        steward.leave()
    except Exception as error:
        logger.info("steward: the lock is not released but expires: %s", error)
