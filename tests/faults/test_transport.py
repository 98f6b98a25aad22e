"""The transport in a real worker: malformed messages, a server that restarts."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from bad_messages import BAD, theirs
from fault_installation import QUIET, Installation, step
from flow_documents import seq

from engine.store.dead_letters import BURIED, DEAD, MOST_KEPT, counts
from workers.embedded_server.files import Paths
from workers.process.posix import locker_pid

QUEUE = "swarm.python_fn"
OUTAGE_S = 3.0
"""Long enough for attempts to end, and Celery to lose its connection, meanwhile."""


def away(installation: Installation, how: signal.Signals, seconds: float) -> None:
    """End the server and keep its supervisor from starting it again for a while."""
    paths = Paths(installation.var)
    supervisor, server = locker_pid(paths.supervisor), locker_pid(paths.server)
    assert supervisor is not None
    assert server is not None
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(server, how)
        time.sleep(seconds)
    finally:
        os.kill(supervisor, signal.SIGCONT)


def as_dict(flat: Any) -> Any:
    """Return what HGETALL answers as a dict, whatever the protocol."""
    return (
        flat
        if isinstance(flat, dict)
        else dict(zip(flat[::2], flat[1::2], strict=True))
    )


def spoil(call: Callable[..., Any]) -> int:
    """Put what no worker can use wherever one reads; returns how much it must count."""
    names = list(BAD)
    for name in names[::2]:
        call("LPUSH", f"swarm:q:{QUEUE}", BAD[name])
    for name in names[1::2]:
        call("LPUSH", "swarm:q:swarm.engine", BAD[name])
    kept = [
        b"no JSON",
        b"[1, 2, 3]",
        json.dumps([theirs() | {"headers": 1}, "", QUEUE]),
    ]
    for number, data in enumerate(kept):
        call("HSET", "swarm:q:unacked", f"tag-{number}", data)
        call("ZADD", "swarm:q:unacked_index", 1, f"tag-{number}")
    box = [b"no JSON", b"[]", b"7", b"\xff", *(BAD[name] for name in names[:60])]
    for data in box:
        call("PUBLISH", "swarm:q:/0.celery.pidbox", data)
        call("PUBLISH", "swarm:q:/0.celeryev/worker.x", data)
    call("SADD", "swarm:q:_kombu.binding.reply.celery.pidbox", "no binding")
    call("SET", "swarm:q:swarm.subprocess", "no list")
    return len(BAD) + len(kept) + 1


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("quiet", [QUIET, ()], ids=["fleet", "stock"])
def test_whatever_lies_in_a_queue_is_set_aside_and_the_next_step_is_served(
    installation: Installation, quiet: tuple[str, ...]
) -> None:
    wire = installation.store.wire
    spoilt = spoil(wire.call)
    worker = installation.worker(concurrency=1, quiet=quiet)
    [before] = installation.launch(seq(step("quick"), step("quick")), {"n": 1})
    assert installation.wait([before], 40) == {before: "done"}, installation.log(0)
    spoilt += spoil(wire.call)
    [run] = installation.launch(seq(step("quick"), step("quick")), {"n": 1})

    assert installation.wait([run], 20) == {run: "done"}, installation.log(0)
    buried = installation.until(
        lambda: counts(as_dict(wire.call("HGETALL", BURIED))),
        # kombu looks at what was unacknowledged at its start, and then every 100 s.
        lambda found: sum(found.values()) >= spoilt - 3,
        20,
    )
    assert buried[QUEUE] == 2 * len(list(BAD)[::2])
    assert buried["swarm.engine"] == 2 * len(list(BAD)[1::2])
    assert buried["unacked"] == 3
    assert buried["swarm.subprocess"] >= 2
    assert buried[f"w0@{socket.gethostname()}.celery.pidbox"] > 50
    assert wire.call("LLEN", DEAD) == MOST_KEPT
    assert wire.call("LLEN", f"swarm:q:{QUEUE}") == 0
    assert wire.call("TYPE", "swarm:q:swarm.subprocess") in (b"none", b"list")
    assert "Connection to broker lost" not in installation.log(0)
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
        # Not a successor: it has no guard here.
        assert worker.poll() is None
