"""A Redis that loses its data with runs in flight: they end, and the archive is the truth."""

import time
from collections import Counter

import pytest
from fault_installation import Installation, fanout, step
from flow_documents import seq

from engine.store.redis import STATE

RUNS = 50
FLOW = seq(
    *[step() for _ in range(4)],
    fanout(list(range(6)), seq(step(), step())),
    step(),
    step(),
)
PLACES = 4 + 12 + 2


class Lag:
    """How long journal entries wait for the archive, in milliseconds."""

    def __init__(self, installation: Installation) -> None:
        """Measure nothing yet."""
        self._store = installation.store
        self.seen: list[int] = []

    def look(self) -> int:
        """Return how long the oldest entry has waited by now."""
        waiting = self._store.journal(self._store.archived(), 1)
        self.seen.append(self._store.now_ms() - waiting[0].at_ms if waiting else 0)
        return self.seen[-1]

    def p99(self) -> int:
        """Return the lag below which 99 of 100 looks are."""
        return sorted(self.seen)[len(self.seen) * 99 // 100]


def in_flight(installation: Installation, lag: Lag, ran: int) -> None:
    """Wait until some steps have run, and look at the lag meanwhile."""

    def look() -> int:
        lag.look()
        return sum(installation.noted().values())

    assert installation.until(look, lambda found: found >= ran, 30) >= ran


def all_done(installation: Installation, runs: list[str], seconds: float) -> None:
    """Wait until the rows of runs are done."""
    done = Counter({"done": len(runs)})
    found = installation.until(
        lambda: installation.statuses(runs), lambda got: got == done, seconds
    )
    assert found == done, installation.log(0)[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_emptied_redis_goes_on_with_every_run(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.pace(0.05)
    installation.ready(installation.worker(), installation.worker())
    runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
    lag = Lag(installation)
    in_flight(installation, lag, RUNS * PLACES // 3)

    archived = installation.archived_steps(runs)
    at_loss = lag.look()
    lost_at = time.time()
    installation.store.wire.call("FLUSHALL")
    all_done(installation, runs, 60)

    took, noted = time.time() - lost_at, installation.noted()
    twice = {key for key, times in noted.items() if times > 1}
    with capsys.disabled():
        print(
            f"\nFLUSHALL with {RUNS} runs in flight: {len(archived)} steps were archived,"
            f" {len(twice)} of {len(noted)} ran twice; archive lag p99 {lag.p99()} ms,"
            f" {at_loss} ms at the loss; all done after {took:.1f} s"
        )
    assert archived
    assert not twice & archived
    assert len(noted) == RUNS * PLACES
    # Agents see the same idempotency key before and after.
    assert {len(ids) for ids in installation.step_ids().values()} == {1}
    wire = installation.store.wire
    assert (
        installation.until(
            lambda: wire.call("KEYS", f"{STATE}r:*:b"), lambda k: not k, 20
        )
        == []
    )
