"""What a step in continuation costs Redis: counted, not timed (design.md §4)."""

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.engine import Engine
from engine.run.lanes import deliver_batch
from engine.run.load import Loader
from engine.run.outcomes import Outcome
from engine.run.start import start_of
from engine.run.turn import Limits
from engine.store.base import BatchRef, Ref
from engine.store.redis import RedisStore
from swarm_project.celery import app
from workers.queue import message_template
from workers.server import ensure_server, stop_server

QUEUE = "swarm.python_fn"
STEPS = 50


class Echo:
    """Answers a step with its input."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Return the input."""
        return Outcome("passed", call.input)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisStore]:
    """A store on a server of its own."""
    var = tmp_path_factory.mktemp("v")
    info = ensure_server(var, keep=True)
    url = f"unix://{info.socket_path}" if info.socket_path else info.url
    yield RedisStore(url, template=message_template(app))
    stop_server(var)


def step() -> dict[str, Any]:
    """Return a step that echoes `$.n`."""
    at = {"op": "path", "at": "$.n"}
    return {"kind": "step", "ref": "echo", "in": at, "out": at}


def launched(store: RedisStore, flow: Any) -> tuple[str, Engine]:
    """Start a run; returns it and an engine with room for all of it in one delivery."""
    program = Program("cost", flow, {"echo": Agent("echo", "python_fn", QUEUE, 60_000)})
    run = f"R-{os.urandom(8).hex()}"
    ctx = {"n": 1, "pad": "x" * 1000}
    store.start(start_of(run, 1, Loader(store).prepare(program), ctx, 0))
    limits = Limits(steps=10_000, seconds=60.0)
    engine = Engine(store, {"python_fn": Echo()}, serves=lambda _: True, limits=limits)
    return run, engine


def work_off(store: RedisStore, engine: Engine) -> None:
    """Deliver every message there is."""
    queues = deque([QUEUE, "swarm.engine"])
    idle = 0
    while idle < len(queues):
        queue = queues[0]
        queues.rotate()
        text = store.wire.call("RPOP", f"swarm:q:{queue}")
        if text is None:
            idle += 1
            continue
        idle = 0
        run, gen, addr = orjson.loads(orjson.loads(text)["body"])[0]
        chord, mark, span = addr.partition(":")
        if mark:
            lo, hi = map(int, span.split("-"))
            deliver_batch(engine, BatchRef(run, gen, chord, lo, hi), queue)
        else:
            engine.deliver(Ref(run, gen, addr), queue)


def test_a_step_in_continuation_is_one_script_call_and_one_entry(
    store: RedisStore,
) -> None:
    run, engine = launched(store, {"kind": "seq", "children": [step()] * STEPS})
    before = store.wire.calls
    work_off(store, engine)
    calls = store.wire.calls - before
    head = store.head(run)
    assert head is not None
    assert head.status == "done"
    # Besides the steps: the claim, program and base, loading two scripts, and looking
    # at the queues.
    assert calls <= STEPS + 12
    assert head.number == STEPS + 2


def test_a_journal_entry_of_a_small_step_stays_under_two_kilobytes(
    store: RedisStore,
) -> None:
    run, engine = launched(store, {"kind": "seq", "children": [step()] * 5})
    work_off(store, engine)
    entries = [e for e in store.journal("0", 10_000) if e.run == run]
    assert len(entries) == 7
    assert max(len(entry.data) for entry in entries) < 2048


def test_lanes_of_a_batch_share_their_commits(store: RedisStore) -> None:
    lanes = 640
    flow = {
        "kind": "fanout",
        "items": {"op": "lit", "value": list(range(lanes))},
        "bind": {"op": "path", "at": "$.n"},
        "body": step(),
        "join": "all",
        "out": {"op": "path", "at": "$.out"},
    }
    run, engine = launched(store, flow)
    before = store.wire.calls
    work_off(store, engine)
    calls = store.wire.calls - before
    head = store.head(run)
    assert head is not None
    assert head.status == "done"
    # Ten messages of 64 lanes, 16 results a commit at the least, and the join.
    assert calls < lanes / 4
