"""Attempts that are killed: by a shutdown that lasts too long, by a cancel that they ignore."""

import os
import signal
import time

import pytest
from fault_installation import LEASE_S, Installation, agent, step
from flow_documents import seq
from living_processes import alive

from workers.celery_worker.keeper import GRACE_S
from workers.fleet.worker_guard import PATIENCE_S, WARM_S


def child_at_work(installation: Installation) -> int:
    """Return the process that works on the newest attempt, once there is one."""
    installation.until(lambda: sum(installation.noted().values()), bool, 20)
    newest = (installation.var / "runs.log").read_text().splitlines()[-1]
    return int(newest.split()[-3])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_outlasts_a_warm_shutdown_is_killed_and_made_again_elsewhere(
    installation: Installation,
) -> None:
    installation.pace(55)
    leaving = installation.worker(concurrency=1)
    [run] = installation.launch(seq(step(), step("quick")), {"n": 1})
    child = child_at_work(installation)
    installation.pace(0)

    began = time.monotonic()
    os.kill(leaving.pid, signal.SIGTERM)
    installation.worker(concurrency=1)
    installation.until(lambda: alive(child), lambda there: not there, WARM_S + 10)
    killed_s = time.monotonic() - began
    leaving.wait(10)
    left_s = time.monotonic() - began

    assert WARM_S - 1 < killed_s < WARM_S + 4
    # Its guard would kill the whole group then.
    assert left_s < PATIENCE_S
    assert "it still runs 25 s after the shutdown began" in installation.log(0)
    assert installation.wait([run], LEASE_S + 20) == {run: "done"}
    assert installation.ctx(run) == {"n": 3}
    kinds = [event[0] for _, event in installation.events([run])]
    assert kinds.count("lost") == 1
    assert kinds.count("passed") == 2


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_an_agent_that_does_not_heed_a_cancel_is_killed(
    installation: Installation,
) -> None:
    worker = installation.worker(concurrency=1)
    stubborn = agent("stubborn", "fault-stubborn")
    [run] = installation.launch(step("stubborn"), {"n": 1}, stubborn=stubborn)
    child = child_at_work(installation)

    began = time.monotonic()
    assert installation.store.finish(run, 1, "cancelled", "no longer wanted") == "ok"
    installation.until(lambda: alive(child), lambda there: not there, 20)
    took = time.monotonic() - began

    # A second until the keeper hears of it and one for its tick, besides the grace.
    assert GRACE_S <= took < GRACE_S + 4
    line = f"keeper: killing child {child} at run {run}: what it works on is over"
    assert line in installation.log(0)
    [after] = installation.launch(step("quick"), {"n": 1})
    assert installation.wait([after], 10) == {after: "done"}
    assert worker.poll() is None
    assert installation.status(run) == "cancelled"
    kinds = {event[0] for _, event in installation.events([run])}
    assert kinds.isdisjoint({"passed", "failed", "timed_out"})
