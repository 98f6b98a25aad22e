"""Agents that break the rules: the step fails with its reason, the worker continues."""

import sys
import time
from typing import Any

import pytest
from fault_installation import Installation, agent, step

from engine.blueprint.program import Agent

BAD = {
    # agent function: what the failure says
    "fault-raise": "ValueError: no such customer",
    "fault-not-json": "can't be written as JSON",
    "fault-nan": "JSON has no such number",
    "fault-sleep": "timed out after 1 s",
    "fault-stubborn": "timed out after 1 s",
    "fault-fork": "timed out after 1 s",
    "fault-exit": "SystemExit",
}


FLOOD = """
import os, threading
def flood(fd):
    while True:
        os.write(fd, b"x" * 65536)
threading.Thread(target=flood, args=(2,), daemon=True).start()
flood(1)
"""
FORKS = """
import os, time
for own_session in (False, True):
    if os.fork() == 0:
        if own_session:
            os.setsid()
        os.execvp("sleep", ["sleep", "78"])
time.sleep(60)
"""
BAD_PROGRAMS = {
    # what a child process of Python runs: what the failure says
    "import sys; print('{}'); sys.exit(3)": "exited with 3",
    "import os; os.kill(os.getpid(), 9)": "killed by signal 9",
    FLOOD: "printed more than 8388608 bytes",
    FORKS: "timed out after 1 s",
    "import time; time.sleep(60)": "timed out after 1 s",
    "import signal, time\n"
    "signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN)\n"
    "time.sleep(60)": "timed out after 1 s",
}
TIMEOUT_S = 1


def bad_ones() -> list[tuple[str, Agent, str]]:
    """Return what each does, its agent, and the text of its failure."""
    found = [
        (name, agent("bad", name, timeout_ms=TIMEOUT_S * 1000), says)
        for name, says in BAD.items()
    ]
    for code, says in BAD_PROGRAMS.items():
        spec: dict[str, Any] = {"program": sys.executable, "args": ["-I", "-c", code]}
        program = Agent(
            "bad", "subprocess", "swarm.subprocess", TIMEOUT_S * 1000, spec=spec
        )
        found.append((code, program, says))
    return found


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_step_fails_with_its_reason_and_the_next_is_served(
    installation: Installation,
) -> None:
    worker = installation.worker(concurrency=1)
    quick = agent("quick", "fault-quick")
    [warm] = installation.launch(step("quick"), {"n": 1}, quick=quick)
    assert installation.wait([warm], 20) == {warm: "done"}
    for name, bad, says in bad_ones():
        begun = time.monotonic()
        [run] = installation.launch(step("bad"), {"n": 1}, bad=bad)
        assert installation.wait([run], 10) == {run: "failed"}, name
        assert time.monotonic() - begun < TIMEOUT_S + 3, name
        texts = [
            e[4]
            for _, e in installation.events([run])
            if e[0] in ("failed", "timed_out")
        ]
        assert len(texts) == 1, name
        assert says in texts[0], name
        [after] = installation.launch(step("quick"), {"n": 1}, quick=quick)
        assert installation.wait([after], 5) == {after: "done"}, name
        left = installation.until(
            lambda: [line for line in installation.left_over() if is_program(line)],
            lambda lines: not lines,
            5,
        )
        assert left == [], name
    assert worker.poll() is None


def is_program(line: str) -> bool:
    """Return whether a process is a program that one of the bad agents has started."""
    return line.startswith(("sleep 7", f"{sys.executable} -I -c"))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_step_that_kills_its_worker_each_time_ends_lost(
    installation: Installation,
) -> None:
    installation.worker(concurrency=1)
    [run] = installation.launch(step("dies"), {"n": 1}, dies=agent("dies", "fault-die"))
    assert installation.wait([run], 60) == {run: "failed"}
    texts = [e[4] for _, e in installation.events([run]) if e[0] == "step_lost"]
    ended = "the last worker was ended by signal 9 (SIGKILL)"
    assert texts == [f"lost after 4 attempts, {ended}"]
    assert sum(installation.noted().values()) == 4
    # Their deaths are accidents: each has a plain line in the log.
    log = installation.log(0)
    assert log.count("exited with 'signal 9 (SIGKILL)'") == 4
    assert "Traceback" not in log
