"""Leases while C code holds the GIL, and workers that were stopped for too long."""

import os
import signal
import time

import pytest
from installation import LEASE_S, Installation, agent, seq, step


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_agent_that_holds_the_gil_keeps_its_lease_within_its_timeout(
    installation: Installation,
) -> None:
    installation.worker()
    [run] = installation.launch(step("gil"), {"n": 3 * LEASE_S})
    statuses = installation.wait([run], 30)
    assert statuses == {run: "done"}
    assert sum(installation.noted().values()) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_agent_that_holds_the_gil_is_killed_after_its_timeout_and_the_next_is_served(
    installation: Installation,
) -> None:
    # The second child tells the run; the first takes a moment to be replaced.
    worker = installation.worker(concurrency=2)
    # `sleep` ends at the alarm of the timeout; only the keeper ends this one.
    gil = agent("gil", "fault-spin", timeout_ms=2000)
    quick = agent("quick", "fault-quick")
    [warm] = installation.launch(step("quick"), {"n": 1}, quick=quick)
    installation.wait([warm], 20)
    begun = time.monotonic()
    [run] = installation.launch(step("gil"), {"n": 30}, gil=gil)
    statuses = installation.wait([run], 20)
    took = time.monotonic() - begun
    assert statuses == {run: "failed"}
    assert took < 2 + 3
    texts = [e[4] for _, e in installation.events([run]) if e[0] == "timed_out"]
    assert texts == ["timed out after 2 s"]
    [after] = installation.launch(step("quick"), {"n": 1}, quick=quick)
    assert installation.wait([after], 10) == {after: "done"}
    assert worker.poll() is None
    log = installation.log(0)
    assert log.count("keeper: killing child ") == 1
    assert f"at run {run}: its time is up" in log
    for noise in ("Traceback", "WorkerLostError", "exited with"):
        assert noise not in log


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_stopped_for_longer_than_a_lease_commits_nothing_afterwards(
    installation: Installation,
) -> None:
    installation.pace(1.0)
    stopped = installation.worker(concurrency=1)
    [run] = installation.launch(seq(step(), step("quick")), {"n": 1})
    installation.until(lambda: sum(installation.noted().values()), lambda n: n == 1, 20)
    os.killpg(stopped.pid, signal.SIGSTOP)
    installation.worker(concurrency=1)
    statuses = installation.wait([run], 40)
    ctx = installation.ctx(run)
    os.killpg(stopped.pid, signal.SIGCONT)
    time.sleep(3)
    assert statuses == {run: "done"}
    assert sum(installation.noted().values()) == 2
    assert installation.ctx(run) == ctx == {"n": 3}
    passed = [e for _, e in installation.events([run]) if e[0] == "passed"]
    assert len(passed) == 2
