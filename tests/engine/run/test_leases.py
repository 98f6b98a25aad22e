"""A worker that lost its claim, or the point of it, starts no agent any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from orjson import loads
from programs import QUEUES, at, fanout, lit, program, seq, spawners, step

from engine.ports import NoWatch, StepCall
from engine.run import chords
from engine.run.engine import Engine
from engine.run.lanes import deliver_batch
from engine.run.load import Loader
from engine.run.outcomes import Outcome
from engine.run.outputs import Log
from engine.run.start import start_of
from engine.run.turn import Limits
from engine.store.base import ENGINE_QUEUE, BatchRef, Ref
from engine.store.memory import MemoryStore
from engine.store.memory_core import batch_of
from engine.testing import Clock, ScriptedSpawner, Simulator

INC = step("inc", at("$.a"), "$.a")
QUICK = QUEUES["quick"]
LEASE_S = 0.05
OTHER = "f" * 12
NUMBERED = ("started", "output", "passed")


class StoppedStore(MemoryStore):
    """Stops its worker for longer than a lease after the reply to one kind of call."""

    def __init__(self, after: str, meanwhile: Callable[[StoppedStore], None]) -> None:
        """Do `meanwhile` while the worker is stopped, once."""
        self.time = Clock()
        super().__init__(clock=self.time)
        inner, stopped = getattr(self, after), []

        def call(*args: Any) -> Any:
            answer = inner(*args)
            if not stopped:
                stopped.append(after)
                time.sleep(LEASE_S * 1.5)
                meanwhile(self)
            return answer

        setattr(self, after, call)


def given_away(store: StoppedStore) -> None:
    """Expire what is leased and let another worker have it."""
    store.time.pass_time(11_000)
    assert store.expire(3) == 1
    while (message := store.pop(QUICK)) is not None:
        store.claim(Ref(message.run, message.gen, message.addr), OTHER, QUICK)


def worked(store: MemoryStore, flow: Any, **options: Any) -> ScriptedSpawner:
    """Deliver every message of a run to one engine; return the agents that it ran."""
    agents = spawners()
    limits = Limits(lease_s=LEASE_S, steps=100)
    engine = Engine(store, agents, serves=lambda _: True, limits=limits, **options)
    store.start(start_of("R-1", 1, Loader(store).prepare(program(flow)), {"a": 1}, 0))
    waiting = True
    while waiting:
        waiting = deliver(engine, store, QUICK) or deliver(engine, store, ENGINE_QUEUE)
    return agents["quick"]


def deliver(engine: Engine, store: MemoryStore, queue: str) -> bool:
    """Deliver a queue's next message; False if there is none."""
    message = store.pop(queue)
    if message is None:
        return False
    batch = batch_of(message.addr)
    if batch:
        deliver_batch(engine, BatchRef("R-1", 1, batch[0], *batch[1]), queue)
    else:
        engine.deliver(Ref("R-1", 1, message.addr), queue)
    return True


@pytest.fixture
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lanes of a fanout travel in one message."""
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: 64)


@pytest.mark.usefixtures("one_batch")
@pytest.mark.parametrize("after", ["claim", "program", "claim_batch", "base"])
def test_a_worker_stopped_after_its_claim_runs_no_agent_of_its_successor(
    after: str,
) -> None:
    flow = (
        INC if after in ("claim", "program", "base") else fanout(lit([1, 2, 3, 4]), INC)
    )
    made = worked(StoppedStore(after, given_away), flow)
    ran = [call.place for call in made.calls]
    # `given_away` gave a chain to a worker that does nothing with it; lanes came singly.
    assert ran == []


def test_a_worker_stopped_after_taking_the_next_message_runs_no_agent_of_it() -> None:
    store = StoppedStore("claim_next", given_away)
    prepared = Loader(store).prepare(program(INC))
    store.start(start_of("R-2", 1, prepared, {"a": 1}, 0))
    engine_agents = spawners()
    limits = Limits(lease_s=LEASE_S)
    engine = Engine(store, engine_agents, serves=lambda _: True, limits=limits)
    store.start(start_of("R-1", 1, prepared, {"a": 1}, 0))
    first = store.pop(QUICK)
    assert first is not None
    engine.deliver(Ref(first.run, 1, "0"), QUICK)
    assert [call.run for call in engine_agents["quick"].calls] == [first.run]


@pytest.mark.usefixtures("one_batch")
@pytest.mark.parametrize("after", ["claim", "claim_batch"])
def test_a_worker_stopped_after_its_claim_goes_on_if_that_still_holds(
    after: str,
) -> None:
    flow = INC if after == "claim" else fanout(lit([1, 2]), INC)
    store = StoppedStore(after, lambda store: None)
    made = worked(store, flow)
    assert len(made.calls) == (1 if after == "claim" else 2)
    head = store.head("R-1")
    assert head is not None
    assert head.status == "done"


def test_a_worker_stopped_past_its_deadline_starts_no_agent_if_no_steward_looked() -> (
    None
):
    """Whoever looks next takes its claim back at once, and the agent would be two."""
    store = StoppedStore("claim", lambda store: store.time.pass_time(80_000))
    assert worked(store, INC).calls == []
    assert store.expire(3) == 1


FAILS_LATER = {
    "kind": "try",
    "body": fanout(lit(list(range(8))), seq(INC, step("bad", at("$.item"), "$.b"))),
    "catch": seq(),
    "err_at": at("$.e"),
}  # fmt: skip


@pytest.mark.usefixtures("one_batch")
def test_a_promoted_lane_that_decides_its_chord_ends_the_batch() -> None:
    made = Simulator.over_memory(agents := spawners())
    made.launch(program(FAILS_LATER), {"a": 1})
    assert made.run().status == "done"
    assert made.final()["e"] == "dispatcher error for ref 'bad': bad: 0"
    places = {call.place.partition("/lane")[2][:3] for call in agents["quick"].calls}
    assert places == {"[0]"}


@pytest.mark.usefixtures("one_batch")
def test_a_promoted_lane_whose_run_is_cancelled_ends_the_batch() -> None:
    def script(call: Any) -> Any:
        if call.place.endswith("children/1"):
            made.store.finish("R-1", "cancelled", "by a test")
        return call.input

    made = Simulator.over_memory(agents := spawners(script))
    made.launch(program(fanout(lit([1, 2, 3]), seq(INC, INC))), {"a": 1})
    assert made.run().status == "cancelled"
    assert len(agents["quick"].calls) == 2


class Shown(NoWatch):
    """Notes whether a batch was shown beside the root chain."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self.span: BatchRef | None = None
        self.beside_the_root: list[BatchRef | None] = []

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show a batch, or none."""
        self.span = ref

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show a chain."""
        if ref.addr == "0":
            self.beside_the_root.append(self.span)


@pytest.mark.usefixtures("one_batch")
def test_a_parent_that_goes_on_is_not_shown_beside_its_childrens_batch() -> None:
    """The batch is in vain then, and the keeper would kill what goes on under its nonce."""
    watch = Shown()
    worked(MemoryStore(clock=Clock()), seq(FAILS_LATER, INC), watch=watch)
    assert len(watch.beside_the_root) > 2
    assert set(watch.beside_the_root) == {None}


class Talker:
    """Says something before it passes."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Say it."""
        call.emit(Log("here"))
        return Outcome("passed", 1)


def test_what_is_said_after_a_lost_attempt_is_of_the_attempt_that_says_it() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.start(start_of("R-1", 1, Loader(store).prepare(program(INC)), {"a": 1}, 0))
    first = store.pop(QUICK)
    assert first is not None
    store.claim(Ref("R-1", 1, first.addr), OTHER, QUICK)
    clock.pass_time(11_000)
    assert store.expire(3) == 1
    agents = {**spawners(), "quick": Talker()}
    engine = Engine(store, agents, serves=lambda _: True)
    assert deliver(engine, store, QUICK)
    told = [
        event for entry in store.journal("0", 100) for event in loads(entry.data)["e"]
    ]
    numbers = {event[0]: event[2] for event in told if event[0] in NUMBERED}
    assert numbers == dict.fromkeys(NUMBERED, 2)
