"""A worker that lost its claim, or whose run is over, starts no agent any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flow_documents import at, fanout, lit, seq, step
from orjson import loads
from random_programs import QUEUES, program, spawners
from store_boxes import Box

from engine.ports import StepCall, Watch
from engine.run.attempt.outcomes import Outcome
from engine.run.drive import chords
from engine.run.drive.engine import Engine
from engine.run.drive.lanes import deliver_batch
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.run.journal.outputs import Log
from engine.run.limits import Limits
from engine.store.addresses import owner_of
from engine.store.base import ENGINE_QUEUE, BatchRef, Ref
from engine.testing import ScriptedSpawner
from workers.pytest_plugin import MakeSimulator

INC = step("inc", at("$.a"), "$.a")
QUICK = QUEUES["quick"]
LEASE_S = 0.05
OTHER = "f" * 12
NUMBERED = ("started", "output", "passed")


def stop_worker(
    box: Box, after: str, meanwhile: Callable[[Box], None], number: int = 1
) -> None:
    """Stop the worker for longer than a lease after a reply to one kind of call."""
    inner, calls = getattr(box.store, after), count(1)

    def call(*args: Any) -> Any:
        answer = inner(*args)
        if next(calls) == number:
            time.sleep(LEASE_S * 1.5)
            meanwhile(box)
        return answer

    setattr(box.store, after, call)


def given_away(box: Box) -> None:
    """Expire what is leased and let another worker have it."""
    box.pass_time(11_000)
    assert box.store.expire(3) == 1
    while (message := box.pop(QUICK)) is not None:
        box.store.claim(Ref(message.run, message.gen, message.addr), OTHER, QUICK)


def worked(box: Box, flow: Any, **options: Any) -> ScriptedSpawner:
    """Deliver every message of a run to one engine; return the agents that it ran."""
    agents, store = spawners(), box.store
    limits = Limits(lease_s=LEASE_S, steps=100)
    engine = Engine(store, agents, serves=lambda _: True, limits=limits, **options)
    store.start(start_of("R-1", 1, Loader(store).prepare(program(flow)), {"a": 1}, 0))
    waiting = True
    while waiting:
        waiting = deliver(engine, box, QUICK) or deliver(engine, box, ENGINE_QUEUE)
    return agents["quick"]


def deliver(engine: Engine, box: Box, queue: str) -> bool:
    """Deliver a queue's next message; False if there is none."""
    message = box.pop(queue)
    if message is None:
        return False
    owner = owner_of(message.run, message.gen, message.addr)
    if isinstance(owner, BatchRef):
        deliver_batch(engine, owner, queue)
    else:
        engine.deliver(owner, queue)
    return True


@pytest.fixture
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lanes of a fanout travel in one message."""
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: 64)


@pytest.mark.usefixtures("one_batch")
# The first base that a worker reads is the program, the second one its Ctx.
@pytest.mark.parametrize(
    ("after", "number"), [("claim", 1), ("base", 1), ("base", 2), ("claim_batch", 1)]
)
def test_a_worker_stopped_after_its_claim_runs_no_agent_of_its_successor(
    box: Box, after: str, number: int
) -> None:
    flow = fanout(lit([1, 2, 3, 4]), INC) if after == "claim_batch" else INC
    stop_worker(box, after, given_away, number)

    made = worked(box, flow)
    ran = [call.place for call in made.calls]
    # `given_away` gave a chain to a worker that does nothing with it; lanes came singly.
    assert ran == []


def test_a_worker_stopped_after_taking_the_next_message_runs_no_agent_of_it(
    box: Box,
) -> None:
    stop_worker(box, "claim_next", given_away)
    store = box.store
    prepared = Loader(store).prepare(program(INC))
    store.start(start_of("R-2", 1, prepared, {"a": 1}, 0))
    engine_agents = spawners()
    limits = Limits(lease_s=LEASE_S)
    engine = Engine(store, engine_agents, serves=lambda _: True, limits=limits)
    store.start(start_of("R-1", 1, prepared, {"a": 1}, 0))
    first = box.pop(QUICK)
    assert first is not None
    engine.deliver(Ref(first.run, 1, "0"), QUICK)
    assert [call.run for call in engine_agents["quick"].calls] == [first.run]


@pytest.mark.usefixtures("one_batch")
@pytest.mark.parametrize("after", ["claim", "claim_batch"])
def test_a_worker_stopped_after_its_claim_continues_if_the_claim_is_still_valid(
    box: Box, after: str
) -> None:
    flow = INC if after == "claim" else fanout(lit([1, 2]), INC)
    stop_worker(box, after, lambda box: None)
    made = worked(box, flow)
    assert len(made.calls) == (1 if after == "claim" else 2)
    head = box.store.head("R-1")
    assert head is not None
    assert head.status == "done"


def test_a_worker_stopped_past_its_deadline_starts_no_agent_if_no_steward_looked(
    box: Box,
) -> None:
    """Whoever looks next takes its claim back at once, and the agent would be two."""
    stop_worker(box, "claim", lambda box: box.pass_time(80_000))
    assert worked(box, INC).calls == []
    assert box.store.expire(3) == 1


FAILS_LATER = {
    "kind": "try",
    "body": fanout(lit(list(range(8))), seq(INC, step("bad", at("$.item"), "$.b"))),
    "catch": seq(),
    "err_at": at("$.e"),
}  # fmt: skip


@pytest.mark.usefixtures("one_batch")
def test_a_promoted_lane_that_decides_its_chord_ends_the_batch(
    swarm_simulator: MakeSimulator,
) -> None:
    made = swarm_simulator(agents := spawners())
    made.launch(program(FAILS_LATER), {"a": 1})
    assert made.run().status == "done"
    assert made.final()["e"] == "dispatcher error for ref 'bad': bad: 0"
    places = {call.place.partition("/lane")[2][:3] for call in agents["quick"].calls}
    assert places == {"[0]"}


@pytest.mark.usefixtures("one_batch")
def test_a_promoted_lane_whose_run_is_cancelled_ends_the_batch(
    swarm_simulator: MakeSimulator,
) -> None:
    def script(call: Any) -> Any:
        if call.place.endswith("children/1"):
            made.store.finish("R-1", 1, "cancelled", "by a test")
        return call.input

    made = swarm_simulator(agents := spawners(script))
    made.launch(program(fanout(lit([1, 2, 3]), seq(INC, INC))), {"a": 1})
    assert made.run().status == "cancelled"
    assert len(agents["quick"].calls) == 2


class Shown(Watch):
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
def test_a_parent_that_continues_is_not_shown_beside_its_childrens_batch(
    box: Box,
) -> None:
    """The batch is void then, and the keeper would kill an attempt that continues under its nonce."""
    watch = Shown()
    worked(box, seq(FAILS_LATER, INC), watch=watch)
    assert len(watch.beside_the_root) > 2
    assert set(watch.beside_the_root) == {None}


class Talker:
    """Emits an event before it passes."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Say it."""
        call.emit(Log("here"))
        return Outcome("passed", 1)


def test_events_after_a_lost_attempt_belong_to_their_own_attempt(
    box: Box,
) -> None:
    store = box.store
    store.start(start_of("R-1", 1, Loader(store).prepare(program(INC)), {"a": 1}, 0))
    first = box.pop(QUICK)
    assert first is not None
    store.claim(Ref("R-1", 1, first.addr), OTHER, QUICK)
    box.pass_time(11_000)
    assert store.expire(3) == 1
    agents = {**spawners(), "quick": Talker()}
    engine = Engine(store, agents, serves=lambda _: True)
    assert deliver(engine, box, QUICK)
    events = [
        event for entry in store.journal("0", 100) for event in loads(entry.data)["e"]
    ]
    numbers = {event[0]: event[2] for event in events if event[0] in NUMBERED}
    assert numbers == dict.fromkeys(NUMBERED, 2)
