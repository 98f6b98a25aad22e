"""The Redis calls of a step in continuation: counted, not timed."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flow_documents import fanout, lit, seq
from one_step_runs import running_store
from rig import Echo, deliver_all, program, step

from engine.run.drive.engine import Engine
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.run.limits import Limits
from engine.store.redis import RedisStore

STEPS = 50


@pytest.fixture(scope="module")
def store() -> Iterator[RedisStore]:
    """A store on a server of its own."""
    with running_store() as made:
        yield made


def launched(store: RedisStore, flow: Any) -> tuple[str, Engine]:
    """Start a run; returns it and an engine with room for all of it in one delivery."""
    run = f"R-{os.urandom(8).hex()}"
    ctx = {"n": 1, "pad": "x" * 1000}
    store.start(start_of(run, 1, Loader(store).prepare(program(flow)), ctx, 0))
    limits = Limits(steps=10_000, seconds=60.0)
    engine = Engine(store, {"python_fn": Echo()}, serves=lambda _: True, limits=limits)
    return run, engine


def test_a_step_in_continuation_is_one_script_call_and_one_entry(
    store: RedisStore,
) -> None:
    run, engine = launched(store, seq(*[step()] * STEPS))
    before = store.wire.calls
    deliver_all(store, engine)
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
    run, engine = launched(store, seq(*[step()] * 5))
    deliver_all(store, engine)
    entries = [e for e in store.journal("0", 10_000) if e.run == run]
    assert len(entries) == 7
    assert max(len(entry.data) for entry in entries) < 2048


def test_lanes_of_a_batch_share_their_commits(store: RedisStore) -> None:
    lanes = 640
    flow = fanout(lit(list(range(lanes))), step(), bind="$.n")
    run, engine = launched(store, flow)
    before = store.wire.calls
    deliver_all(store, engine)
    calls = store.wire.calls - before
    head = store.head(run)
    assert head is not None
    assert head.status == "done"
    # Ten messages of 64 lanes, 16 results a commit at the least, and the join.
    assert calls < lanes / 4
