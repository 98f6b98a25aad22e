"""Urgent work first, and no queue starves: which queue a worker reads, and which messages it leaves."""

from __future__ import annotations

from typing import Any

from store_boxes import Box

from engine.blueprint.program import Agent, Program
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.drive.engine import Engine
from engine.run.drive.lanes import deliver_batch
from engine.run.drive.load import Loader
from engine.run.drive.queue_order import EIGHTH, PollOrder, rank
from engine.run.drive.start import start_of
from engine.store.addresses import owner_of
from engine.store.base import BatchRef

HI, STD, LO, ENGINE = "swarm.a.hi", "swarm.a", "swarm.a.lo", "swarm.engine"
ALL = [STD, LO, ENGINE, "swarm.b.hi", HI, "swarm.b"]
AGENTS = {
    name: Agent(name, "noting", queue, 60_000)
    for name, queue in (("hi", HI), ("std", STD), ("lo", LO))
}


def test_queues_are_read_by_their_priority_whatever_order_they_came_in() -> None:
    assert [rank(name) for name in (ENGINE, HI, "gpu", LO)] == [0, 1, 2, 3]
    order = PollOrder(ALL)
    first = order.next()
    assert first == [ENGINE, HI, "swarm.b.hi", STD, "swarm.b", LO]
    assert PollOrder(ALL[::-1]).next() == first


def test_queues_of_one_priority_take_turns() -> None:
    order = PollOrder(ALL)
    order.found(HI)
    assert order.next()[1:3] == ["swarm.b.hi", HI]
    order.found("swarm.b.hi")
    assert order.next()[1:3] == [HI, "swarm.b.hi"]


def test_every_eighth_look_starts_at_the_other_end() -> None:
    order = PollOrder(ALL)
    firsts = [order.next()[0] for _ in range(3 * EIGHTH)]
    assert firsts == [*[ENGINE] * (EIGHTH - 1), LO] * 3


class Noting:
    """Notes who ran."""

    in_process = True

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, call: StepCall) -> Outcome:
        self.ran.append(call.agent.name)
        return Outcome("passed", call.input)


class Rig:
    """One worker that serves every queue and takes messages as kombu gives them."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.store = box.store
        self.agent = Noting()
        self.engine = Engine(
            self.store, {"noting": self.agent}, serves=lambda _: True, queues=ALL
        )
        self.order = PollOrder(ALL)

    def launch(self, run: str, flow: Any, ctx: Any) -> None:
        prepared = Loader(self.store).prepare(Program("b", flow, AGENTS))
        self.store.start(start_of(run, 1, prepared, ctx, 0))

    def deliver(self) -> bool:
        """Deliver the next message; False when there is none."""
        for queue in self.order.next():
            if not (message := self.box.pop(queue)):
                continue
            self.order.found(queue)
            owner = owner_of(message.run, message.gen, message.addr)
            if isinstance(owner, BatchRef):
                deliver_batch(self.engine, owner, queue)
            else:
                self.engine.deliver(owner, queue)
            return True
        return False

    def work_off(self) -> list[str]:
        while self.deliver():
            pass
        return self.agent.ran


def step(name: str) -> dict[str, Any]:
    path = {"op": "path", "at": "$.x"}
    return {"kind": "step", "ref": name, "in": path, "out": path}


def choice() -> dict[str, Any]:
    """Return a flow whose agent depends on what lies at `$.x`."""

    def when(name: str, orelse: Any) -> dict[str, Any]:
        is_it = {
            "op": "eq",
            "lhs": {"op": "path", "at": "$.x"},
            "rhs": {"op": "lit", "value": name},
        }
        return {"kind": "branch", "cond": is_it, "then": step(name), "else": orelse}

    return when("hi", when("lo", step("std")))


def test_a_delivery_takes_the_most_urgent_message_next(box: Box) -> None:
    rig = Rig(box)
    for number in range(10):
        rig.launch(f"L-{number}", step("lo"), {"x": number})
        rig.launch(f"S-{number}", step("std"), {"x": number})
        rig.launch(f"H-{number}", step("hi"), {"x": number})
    ran = rig.work_off()
    # Every eighth look may take one from the other end.
    assert ran[:20].count("hi") == 10
    assert ran[:20].count("lo") <= 3
    assert ran.index("lo") < 20 - 2
    assert sorted(ran[-5:]) == ["lo"] * 5


def test_lanes_of_one_fanout_go_by_the_priority_of_their_agents(box: Box) -> None:
    rig = Rig(box)
    items = [*["lo"] * 40, *["std"] * 20, *["hi"] * 20]
    flow = {
        "kind": "fanout", "items": {"op": "lit", "value": items}, "body": choice(),
        "bind": {"op": "path", "at": "$.x"}, "join": "all",
        "out": {"op": "path", "at": "$.out"},
    }  # fmt: skip
    rig.launch("R-1", flow, {"x": 1})
    ran = rig.work_off()
    assert len(ran) == 80
    assert ran[:25].count("hi") == 20
    assert ran[:25].count("lo") <= 5
    assert ran[:55].count("std") == 20
    assert rig.store.head("R-1").status == "done"  # type: ignore[union-attr]


def test_a_run_whose_agents_are_of_one_priority_continues_in_one_delivery(
    box: Box,
) -> None:
    rig = Rig(box)
    flow = {"kind": "seq", "children": [step("lo")] * 5}
    only = {"lo": AGENTS["lo"]}
    prepared = Loader(rig.store).prepare(Program("b", flow, only))
    rig.store.start(start_of("R-1", 1, prepared, {"x": 1}, 0))
    assert rig.deliver()
    assert rig.agent.ran == ["lo"] * 5
    assert not rig.deliver()


def test_a_less_urgent_step_waits_in_its_own_queue(box: Box) -> None:
    rig = Rig(box)
    rig.launch("R-1", {"kind": "seq", "children": [step("hi"), step("lo")]}, {"x": 1})
    rig.launch("R-2", step("std"), {"x": 1})
    assert rig.work_off() == ["hi", "std", "lo"]
