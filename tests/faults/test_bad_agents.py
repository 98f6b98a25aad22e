"""Agents that do what they must not: the step fails with its reason, the worker serves on."""

import time

import pytest
from installation import Installation, agent, step

BAD = {
    # agent function: what the failure says
    "fault-raise": "ValueError: no such customer",
    "fault-not-json": "can't be held as JSON",
    "fault-nan": "NaN or Infinity",
    "fault-sleep": "timed out after 1 s",
    "fault-stubborn": "timed out after 1 s",
    "fault-fork": "timed out after 1 s",
    "fault-exit": "SystemExit",
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_step_fails_with_its_reason_and_the_next_is_served(
    installation: Installation,
) -> None:
    worker = installation.worker(concurrency=1)
    quick = agent("quick", "fault-quick")
    [warm] = installation.launch(step("quick"), {"n": 1}, quick=quick)
    assert installation.wait([warm], 20) == {warm: "done"}
    for name, says in BAD.items():
        bad = agent("bad", name, timeout_ms=1000)
        begun = time.monotonic()
        [run] = installation.launch(step("bad"), {"n": 1}, bad=bad)
        assert installation.wait([run], 10) == {run: "failed"}, name
        assert time.monotonic() - begun < 1 + 3, name
        texts = [
            e[4]
            for _, e in installation.events([run])
            if e[0] in ("failed", "timed_out")
        ]
        assert len(texts) == 1, name
        assert says in texts[0], name
        [after] = installation.launch(step("quick"), {"n": 1}, quick=quick)
        assert installation.wait([after], 5) == {after: "done"}, name
    assert worker.poll() is None
    left = installation.until(
        lambda: [line for line in installation.left_over() if "sleep 77" in line],
        lambda lines: not lines,
        5,
    )
    assert left == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_step_that_kills_its_worker_each_time_ends_lost(
    installation: Installation,
) -> None:
    installation.worker(concurrency=1)
    [run] = installation.launch(step("dies"), {"n": 1}, dies=agent("dies", "fault-die"))
    assert installation.wait([run], 60) == {run: "failed"}
    texts = [e[4] for _, e in installation.events([run]) if e[0] == "step_lost"]
    assert texts == ["lost after 4 attempts"]
    assert sum(installation.noted().values()) == 4
    # Nobody meant them to die: each is told, in plain lines.
    log = installation.log(0)
    assert log.count("exited with 'signal 9 (SIGKILL)'") == 4
    assert "Traceback" not in log
