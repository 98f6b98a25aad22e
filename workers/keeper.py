"""The keeper: a thread in each worker's main process that renews its children's leases.

It kills a child that is past its deadline or works in vain, reports the attempt, and
escalates a warm shutdown. A thread, because Celery's own timers stop for seconds while
it reconnects; no fork happens inside a tick.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.run.outcomes import timed_out
from engine.store.base import Lease, RunStore
from workers.deaths import deaths
from workers.fleets_child import WARM_S
from workers.kin import end_tree
from workers.page import SLOTS, Page, Shown

logger = logging.getLogger(__name__)

TICK_S = 1.0
GRACE_S = 2.0
AWAY = (RedisConnectionError, RedisTimeoutError, OSError)

tick_lock = threading.Lock()
_registered: list[bool] = []


def no_fork_in_tick() -> None:
    """Make forks of this process wait for a tick to end; registered once."""
    if not _registered:
        _registered.append(True)
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
        store: RunStore,
        page: Page,
        pids: Callable[[], Iterable[int] | None],
        every_tick: Callable[[], None],
        ended: Callable[[int], str] = deaths.how,
    ) -> None:
        """Prepare the thread; `every_tick` is called once a second as well.

        `ended` says how a child ended that `pids` does not name any more.
        """
        super().__init__(name="swarm-keeper", daemon=True)
        self._store = store
        self._page = page
        self._pids = pids
        self._every_tick = every_tick
        self._how_ended = ended
        self._ended = threading.Event()
        self._vain: dict[tuple[int, bytes], float] = {}
        self._drain_since = 0.0
        self._unreported: list[tuple[Shown, str]] = []
        """What killed children were at; of one that died by itself, how it ended."""
        self._kill_at = float("inf")
        """When the next child will be past its deadline and the grace."""

    def stop(self) -> None:
        """End the thread after its tick."""
        self._ended.set()

    def run(self) -> None:
        """Tick until stopped; a tick that fails is logged and the next one tries again.

        Between two ticks it gets up for a deadline: a second more would break the
        promise that a step ends within three seconds of its timeout.
        """
        due = time.monotonic()
        while True:
            wait_s = min(due, self._kill_at) - time.monotonic()
            if self._ended.wait(max(0.0, wait_s)):
                return
            with tick_lock:
                try:
                    if time.monotonic() < due:
                        self._enforce(self._living())
                        self._report_all()
                        continue
                    due = max(due + TICK_S, time.monotonic())
                    self.tick()
                except Exception as error:
                    logger.warning("keeper: %s; trying again", error)
                    self._kill_at = float("inf")

    def tick(self) -> None:
        """Kill what must not go on, then renew every lease shown and report.

        Deadlines hold while Redis is away or answers nothing, too: they come before
        whatever may wait for it, and after each of them.
        """
        self._enforce(self._living())
        try:
            self._every_tick()
        except Exception as error:
            logger.warning("keeper: %s; trying again", error)
        if self._renewed():
            self._report_all()

    def _renewed(self) -> bool:
        """Renew every lease shown and kill what is in vain; False if Redis is away."""
        try:
            self._renew(self._living())
        except Exception as error:
            # What it said earlier is too old to kill anybody for.
            self._vain = {}
            logger.warning("keeper: can't renew leases: %s", error)
            return not isinstance(error, AWAY)
        self._enforce(self._living(), judge_vain=True)
        return True

    def _living(self) -> list[Shown]:
        """Return what live children show, and forget what dead ones showed."""
        shown = [s for s in map(self._page.read, range(SLOTS)) if s is not None]
        pids = self._pids()
        if pids is not None:
            live = set(pids)
            for item in [s for s in shown if s.pid not in live]:
                self._page.forget(item)
                self._unreported.append((item, self._how_ended(item.pid)))
            shown = [s for s in shown if s.pid in live]
        return shown

    def _enforce(self, shown: list[Shown], *, judge_vain: bool = False) -> None:
        """Kill what is overdue; with `judge_vain`, fresh from Redis, what is in vain."""
        self._kill_at = float("inf")
        if self._pids() is not None:
            for item in shown:
                self._judge(item, judge_vain)

    @property
    def waiting(self) -> int:
        """Count the reports that Redis has not taken yet."""
        return len(self._unreported)

    def _report_all(self) -> None:
        """Record the outcomes of killed attempts; what may yet succeed stays."""
        reports, self._unreported = self._unreported, []
        for at, (item, how) in enumerate(reports):
            try:
                if how:
                    self._tell_death(item, how)
                else:
                    self._report(item)
            except AWAY as error:
                logger.warning("keeper: can't report a killed attempt yet: %s", error)
                self._unreported += reports[at:]
                return
            except OutOfMemoryError as error:
                logger.warning("keeper: can't report a killed attempt yet: %s", error)
                self._unreported.append((item, how))
            except Exception as error:
                # It would be refused for ever, and its lease ends by itself: the steward
                # counts the attempt as lost.
                logger.error(
                    "keeper: a report of %s is dropped: %s", _runs(item), error
                )

    def _renew(self, shown: list[Shown]) -> None:
        owned = [(item, *claim) for item in shown for claim in _claims(item)]
        leases = [lease for _, lease, _ in owned]
        now = time.monotonic()
        vain: dict[tuple[int, bytes], float] = {}
        answers = self._store.renew(leases)
        for (item, _, mark), answer in zip(owned, answers, strict=True):
            if answer != "k":
                key = (item.pid, mark)
                vain[key] = self._vain.get(key, now)
                if answer == "c" or now - vain[key] >= TICK_S:
                    self._page.cancel(item.slot, mark)
        self._vain = vain

    def _judge(self, item: Shown, judge_vain: bool) -> None:
        now = time.monotonic()
        if self._page.draining:
            self._drain_since = self._drain_since or now
        kill_at = _deadline(item) + GRACE_S
        late = now >= kill_at
        if not late:
            self._kill_at = min(self._kill_at, kill_at)
        claim = item.chain or item.batch
        vain = self._vain.get((item.pid, claim.mark)) if claim else None
        useless = judge_vain and vain is not None and now - vain > GRACE_S
        overdue = self._drain_since and now - self._drain_since > WARM_S
        if late:
            self._kill(
                item, "its time is up and it does not end by itself", report=True
            )
        elif useless:
            self._kill(item, "what it works on is over")
        elif overdue:
            self._kill(item, f"it still runs {WARM_S:.0f} s after the shutdown began")

    def _kill(self, item: Shown, why: str, *, report: bool = False) -> None:
        again = self._page.read(item.slot)
        if again != item:
            # It has moved on since it was read: not the attempt that was judged.
            return
        logger.warning(
            "keeper: killing child %d at run %s: %s", item.pid, _runs(item), why
        )
        deaths.expect(item.pid)
        end_tree(item.pid)
        until = time.monotonic() + 1.0
        while _alive(item.pid) and time.monotonic() < until:
            time.sleep(0.01)
        last = self._page.read(item.slot)
        if last is not None and last.pid == item.pid:
            self._page.forget(last)
        if report:
            self._unreported.append((item, ""))

    def _tell_death(self, item: Shown, how: str) -> None:
        """Have what a dead child owned taken back now, and say how it died."""
        for lease, _ in _claims(item):
            self._store.died(lease, how)

    def _report(self, item: Shown) -> None:
        """Record the timeout of what the killed child was doing; the fence decides."""
        if item.chain:
            c = item.chain
            outcome = timed_out(round((c.deadline - c.started) * 1000))
            self._store.signal(c.ref, c.seq, c.nonce, outcome.pack())
        if item.batch and item.batch.lane >= 0:
            b = item.batch
            spent = b.deadline - b.lane_started
            outcome = timed_out(round(spent * 1000))
            self._store.break_batch(b.ref, b.nonce, b.lane, outcome.pack())


def _deadline(item: Shown) -> float:
    """Return the deadline of the attempt at hand; never, while none is running."""
    if item.chain:
        return item.chain.deadline
    if item.batch and item.batch.lane >= 0:
        return item.batch.deadline
    return float("inf")


def _claims(item: Shown) -> Iterator[tuple[Lease, bytes]]:
    """Yield the lease of what a child owns, and what cancels it."""
    if item.chain:
        c = item.chain
        yield Lease(c.ref.run, c.ref.addr, c.nonce), c.mark
    if item.batch:
        b = item.batch
        span = f"{b.ref.chord}:{b.ref.lo}-{b.ref.hi}"
        yield Lease(b.ref.run, span, b.nonce), b.mark


def _runs(item: Shown) -> str:
    owned = (item.chain, item.batch)
    return ", ".join(sorted({shown.ref.run for shown in owned if shown}))


def _alive(pid: int) -> bool:
    """Tell whether a process still runs; a zombie that billiard has to reap does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1] != b"Z"
    except OSError:
        return False
