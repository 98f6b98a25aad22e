"""The keeper: a thread in each worker's main process that renews its children's leases.

It kills a child that is past its deadline or whose claim is cancelled, reports the
attempt, and escalates a warm shutdown; it fires retries while a steward loads. It is a
thread, because Celery's own timers stop while it reconnects; no fork happens in a tick.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import OutOfMemoryError

from engine.run.attempt.outcomes import timed_out
from engine.store.base import Renewal
from engine.store.redis import RedisStore
from workers.celery_worker.child_deaths import deaths
from workers.celery_worker.claim_table import SLOTS, ChildClaim, ChildClaims, ClaimTable
from workers.fleet.worker_guard import WARM_S
from workers.process.posix import end_tree, is_running
from workers.wiring import AWAY

logger = logging.getLogger(__name__)

TICK_S = 1.0
GRACE_S = 2.0
STAND_IN_S = 0.1
"""How often retries are fired while a steward loads, which takes seconds."""

tick_lock = threading.Lock()
# Forks of this process wait for the end of a tick.
os.register_at_fork(
    before=tick_lock.acquire,
    after_in_parent=tick_lock.release,
    after_in_child=tick_lock.release,
)


class Keeper(threading.Thread):
    """Renews leases once a second and enforces deadlines and cancellations.

    `pids` returns the live children of the pool, or None where they can't be killed
    (solo and threads pools).
    """

    def __init__(
        self,
        store: RedisStore,
        table: ClaimTable,
        pids: Callable[[], Iterable[int] | None],
        every_tick: Callable[[], bool],
        ended: Callable[[int], str] = deaths.describe,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the thread; `every_tick` is called once a second as well.

        It returns whether a steward has been spawned. `ended` describes how a child that
        `pids` no longer has ended. `clock` is the clock of the deadlines in the claim table.
        """
        super().__init__(name="swarm-keeper", daemon=True)
        self._store = store
        self._table = table
        self._pids = pids
        self._every_tick = every_tick
        self._describe_end = ended
        self._clock = clock
        self._ended = threading.Event()
        self._refused: dict[tuple[int, bytes], float] = {}
        """Since when Redis has not renewed a claim, by pid and mark."""
        self._drain_since = 0.0
        self.unreported: list[tuple[ChildClaims, str]] = []
        """The claims of dead children; how the child ended, empty if it was killed."""
        self._kill_at = float("inf")
        """The next time at which a child is past its deadline and the grace."""
        self._fire_at = float("inf")
        """The next time to fire retries, as no steward leads yet."""

    def stop(self) -> None:
        """End the thread after its tick."""
        self._ended.set()

    def run(self) -> None:
        """Tick until stopped; a tick that fails is logged and the next one tries again.

        A deadline between two ticks is enforced at once: a second later would break the
        promise that a step ends within three seconds of its timeout.
        """
        due = self._clock()
        while True:
            wait_s = min(due, self._kill_at, self._fire_at) - self._clock()
            if self._ended.wait(max(0.0, wait_s)):
                return
            with tick_lock:
                try:
                    self._stand_in()
                    if self._clock() < due:
                        self._enforce(self._living())
                        self._report_all()
                        continue
                    due = max(due + TICK_S, self._clock())
                    self.tick()
                except Exception as error:
                    logger.warning("keeper: %s; trying again", error)
                    self._kill_at = float("inf")
                    self._fire_at += TICK_S

    def _stand_in(self) -> None:
        """Fire retries for a steward that loads, until one leads."""
        if self._clock() >= self._fire_at:
            unled = self._store.fire_unled()
            self._fire_at = self._clock() + STAND_IN_S if unled else float("inf")

    def tick(self) -> None:
        """Enforce deadlines, then renew the lease of every claim and report.

        Deadlines are enforced before and after every call that may wait for Redis, so
        that they also apply while Redis is away.
        """
        self._enforce(self._living())
        try:
            if self._every_tick():
                self._fire_at = self._clock()
        except Exception as error:
            logger.warning("keeper: %s; trying again", error)
        if self._renewed():
            self._report_all()

    def _renewed(self) -> bool:
        """Renew all leases and enforce cancellations; False if Redis is away."""
        try:
            self._renew(self._living())
        except Exception as error:
            # Earlier answers are too old to kill a child for.
            self._refused = {}
            logger.warning("keeper: can't renew leases: %s", error)
            return not isinstance(error, AWAY)
        self._enforce(self._living(), cancelled=True)
        return True

    def _living(self) -> list[ChildClaims]:
        """Return the claims of live children; forget and report those of dead ones."""
        children = [c for c in map(self._table.read, range(SLOTS)) if c is not None]
        pids = self._pids()
        if pids is None:
            return children
        live = set(pids)
        for child in children:
            if child.pid not in live:
                self._table.forget(child)
                self.unreported.append((child, self._describe_end(child.pid)))
        return [child for child in children if child.pid in live]

    def _enforce(self, children: list[ChildClaims], *, cancelled: bool = False) -> None:
        """Kill children past their deadline; with `cancelled` also cancelled ones.

        The answers of Redis must be new for that.
        """
        self._kill_at = float("inf")
        if self._pids() is not None:
            for child in children:
                self._enforce_one(child, cancelled)

    def _report_all(self) -> None:
        """Report the claims of dead children; keep the reports that may yet succeed."""
        reports, self.unreported = self.unreported, []
        for at, (child, how) in enumerate(reports):
            try:
                if how:
                    for claim in child.claims:
                        self._store.died(claim.lease, how)
                else:
                    self._report(child)
            except AWAY as error:
                logger.warning("keeper: can't report a killed attempt yet: %s", error)
                self.unreported += reports[at:]
                return
            except OutOfMemoryError as error:
                logger.warning("keeper: can't report a killed attempt yet: %s", error)
                self.unreported.append((child, how))
            except Exception as error:
                # Redis would refuse it for ever. The lease expires, and the steward
                # counts the attempt as lost.
                logger.error("keeper: a report of %s is dropped: %s", child, error)

    def _renew(self, children: list[ChildClaims]) -> None:
        """Renew the lease of every claim; cancel those that Redis no longer renews."""
        claims = [(child, claim) for child in children for claim in child.claims]
        now = self._clock()
        refused: dict[tuple[int, bytes], float] = {}
        answers = self._store.renew([claim.lease for _, claim in claims])
        for (child, claim), answer in zip(claims, answers, strict=True):
            if answer != Renewal.KEPT:
                key = (child.pid, claim.mark)
                refused[key] = self._refused.get(key, now)
                if answer == Renewal.CANCELLED or now - refused[key] >= TICK_S:
                    self._table.cancel(child.slot, claim.mark)
        self._refused = refused

    def _enforce_one(self, child: ChildClaims, cancelled: bool) -> None:
        now = self._clock()
        if self._table.draining:
            self._drain_since = self._drain_since or now
        kill_at = child.deadline + GRACE_S
        refused = self._refused.get((child.pid, child.claims[0].mark), now)
        if now >= kill_at:
            self._kill(
                child, "its time is up and it does not end by itself", report=True
            )
            return
        self._kill_at = min(self._kill_at, kill_at)
        if cancelled and now - refused > GRACE_S:
            self._kill(child, "what it works on is over")
        elif self._drain_since and now - self._drain_since > WARM_S:
            self._kill(child, f"it still runs {WARM_S:.0f} s after the shutdown began")

    def _kill(self, child: ChildClaims, why: str, *, report: bool = False) -> None:
        if self._table.read(child.slot) != child:
            # The child has finished this attempt in the meantime.
            return
        logger.warning("keeper: killing child %d at run %s: %s", child.pid, child, why)
        deaths.expect(child.pid)
        end_tree(child.pid)
        until = time.monotonic() + 1.0
        while is_running(child.pid) and time.monotonic() < until:
            time.sleep(0.01)
        last = self._table.read(child.slot)
        if last is not None and last.pid == child.pid:
            self._table.forget(last)
        if report:
            self.unreported.append((child, ""))

    def _report(self, child: ChildClaims) -> None:
        """Record the timeout of a killed child's attempt; the fence decides."""
        if claim := child.chain:
            self._store.signal(claim.ref, claim.number, claim.nonce, _timeout(claim))
        if (batch := child.batch) and batch.number >= 0:
            self._store.break_batch(
                batch.ref, batch.nonce, batch.number, _timeout(batch)
            )


def _timeout(claim: ChildClaim[Any]) -> bytes:
    return timed_out(round((claim.deadline - claim.started) * 1000)).pack()
