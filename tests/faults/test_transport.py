"""The transport in a real worker: a malformed message, a server that restarts."""

import json
import os
import signal
import time

import pytest
from installation import Installation, seq, step

from swarm_project.celery import app
from workers.queue import message_template

QUEUE = "swarm.python_fn"
OUTAGE_S = 3.0
"""Long enough for attempts to end, and Celery to lose its connection, meanwhile."""
FILL = {"R": "R-1", "N": "1", "A": "0", "T": "1", "Q": QUEUE, "L": "60"}
FILL |= {"K": "swarm.run_step"}


def without_id() -> tuple[str, str]:
    """Return the list that workers pop and a message for it that has no id."""
    prefix, text = message_template(app).decode().split("\n", 1)
    for letter, value in FILL.items():
        text = text.replace("\0" + letter, value)
    message = json.loads(text)
    del message["headers"]["id"]
    return prefix + QUEUE, json.dumps(message)


def away(installation: Installation, how: signal.Signals, seconds: float) -> None:
    """End the server and keep its supervisor from starting it again for a while."""
    described = json.loads((installation.var / "redis.json").read_text())
    os.kill(described["supervisor_pid"], signal.SIGSTOP)
    try:
        os.kill(described["pid"], how)
        time.sleep(seconds)
    finally:
        os.kill(described["supervisor_pid"], signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_message_without_an_id_is_dropped_and_the_next_step_is_served(
    installation: Installation,
) -> None:
    worker = installation.worker(concurrency=1)
    [warm] = installation.launch(step("quick"), {"n": 1})
    assert installation.wait([warm], 20) == {warm: "done"}
    place, bad = without_id()
    wire = installation.store.wire

    wire.call("LPUSH", place, bad, bad)
    dropped = f"dropped a malformed message from {QUEUE}: header 'id' is missing"
    assert installation.until(
        lambda: installation.log(0).count(dropped), lambda n: n >= 2, 10
    )
    [run] = installation.launch(seq(step("quick"), step("quick")), {"n": 1})

    assert installation.wait([run], 10) == {run: "done"}
    assert installation.log(0).count(dropped) == 2
    assert "Traceback" not in installation.log(0)
    assert wire.call("LLEN", place) == 0
    assert worker.poll() is None


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_worker_lives_on_through_restarts_of_the_server(
    installation: Installation,
) -> None:
    worker = installation.worker(concurrency=2)
    installation.pace(0.3)
    for how in (signal.SIGTERM, signal.SIGKILL):
        # Nothing may be lost here: that is shown in test_kill_nine.py.
        installation.store.wire.call("CONFIG", "SET", "appendfsync", "always")
        before = sum(installation.noted().values())
        runs = installation.launch(seq(*[step() for _ in range(6)]), {"n": 0}, 3)
        installation.until(
            lambda: sum(installation.noted().values()),
            lambda n, before=before: n > before + 2,
            20,
        )
        away(installation, how, OUTAGE_S)
        assert installation.wait(runs, 40) == dict.fromkeys(runs, "done")
        assert [installation.ctx(run) for run in runs] == [{"n": 6}] * 3
        # Not a successor: nobody guards it here.
        assert worker.poll() is None
