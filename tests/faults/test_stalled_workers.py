"""Leases while C code holds the GIL, and workers that were stopped for too long."""

import os
import signal
import time

import pytest
from fault_installation import LEASE_S, Installation, agent, step
from flow_documents import seq


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
    # The second child reports the run; the first takes a moment to be replaced.
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
@pytest.mark.parametrize("later", [False, True], ids=["same step", "later step"])
def test_a_worker_stopped_for_longer_than_a_lease_commits_nothing_afterwards(
    installation: Installation, later: bool
) -> None:
    installation.pace(1.0)
    stopped = installation.worker(concurrency=1)
    flow = seq(step(), step("work" if later else "quick"), step("quick"))
    [run] = installation.launch(flow, {"n": 1})
    first, second = (run, "/children/0"), (run, "/children/1")
    installation.until(installation.noted, lambda noted: noted[first] == 1, 20)
    os.killpg(stopped.pid, signal.SIGSTOP)
    # The run stays open, so that only the fence is in the way of the one that wakes: the
    # claim's nonce while its successor makes the same step, then the sequence number too.
    installation.pace(0.5 if later else 8.0)
    installation.worker(concurrency=1)
    installation.until(installation.noted, lambda noted: noted[first] == 2, 40)
    if later:
        installation.pace(8.0)
        installation.until(installation.noted, lambda noted: noted[second] == 1, 40)
    assert installation.status(run) == "running"
    os.killpg(stopped.pid, signal.SIGCONT)
    discarded = installation.until(
        lambda: [e for _, e in installation.events([run]) if e[0] == "discarded"],
        bool,
        10,
    )
    assert installation.status(run) == "running"
    assert discarded == [["discarded", "/children/0", 1, "passed"]]
    assert installation.wait([run], 40) == {run: "done"}
    assert installation.noted() == {first: 2, **({second: 1} if later else {})}
    assert installation.ctx(run) == {"n": 4}
    passed = [e[1] for _, e in installation.events([run]) if e[0] == "passed"]
    assert passed == ["/children/0", "/children/1", "/children/2"]
