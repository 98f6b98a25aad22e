"""What the engine makes of a store at its limits: full, or with counters at their top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from checks import check_attempts, check_empty
from programs import QUEUES, at, fanout, lit, program, seq, spawners, step
from store_boxes import Box, MemoryBox, RedisBox, audit

from engine.blueprint.program import MOST_ATTEMPTS, Agent, Retry
from engine.store.record import MOST, MOST_LOST
from engine.testing import Crash, Simulator

INC = step("inc", at("$.a"), "$.a")


@pytest.fixture(params=["memory", "redis"])
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryBox()
        return
    made = RedisBox(request.getfixturevalue("redis_socket"))
    yield made
    made.close()


def simulator(box: Box, agents: Any, **options: Any) -> Simulator:
    return Simulator(box.store, box.pop, box.pass_time, agents, **options)


@pytest.mark.parametrize("upload", [False, True])
def test_a_chain_waits_for_room_to_open_its_fanout(
    redis_socket: str, upload: bool
) -> None:
    box = RedisBox(redis_socket)

    def script(call: Any) -> Any:
        if len(agents["quick"].calls) == 1:
            box.fill()
        return call.input

    agents = spawners(script)
    made = simulator(box, agents, max_lost=0)
    items = ["x" * 300_000] if upload else [1, 2, 3]
    made.launch(program(seq(INC, fanout(lit(items), seq(INC, INC)), INC)), {"a": 1})
    for _ in range(60):
        made.turn()
        audit(box, "R-1")
    assert len(agents["quick"].calls) == 1
    box.make_room()
    assert made.run().status == "done"
    assert len(made.final()["out"]) == len(items)
    told = [event[0] for event in made.events()]
    assert told.count("opened") == 1
    assert "lost" not in told
    made.settle_down()
    check_attempts(made, agents)
    check_empty(box)
    box.close()


def stubborn(box: Box, agents: Any, policy: Retry, **options: Any) -> Simulator:
    """Return a run of one step whose agent is tried again as `policy` says."""
    made = simulator(box, agents, **options)
    agent = Agent("stubborn", "quick", QUEUES["quick"], 60_000, policy)
    caught = {"kind": "try", "body": step("stubborn", at("$.a"), "$.b")}
    caught |= {"catch": seq(), "err_at": at("$.e")}
    made.launch(program(caught, {"stubborn": agent}), {"a": 1})
    return made


def never(call: Any) -> Any:
    raise ValueError("never")


@pytest.mark.parametrize("base_ms", [0, 1])
def test_as_many_attempts_as_a_policy_may_allow_are_made(
    box: Box, base_ms: int
) -> None:
    assert MOST_ATTEMPTS == MOST
    agents, policy = (
        spawners(never),
        Retry(max=MOST_ATTEMPTS, base_ms=base_ms, cap_ms=1),
    )
    made = stubborn(box, agents, policy)
    made.run(rounds=1_000)
    assert made.final()["e"] == "dispatcher error for ref 'stubborn': never"
    assert len(agents["quick"].calls) == MOST_ATTEMPTS
    check_attempts(made, agents)


def test_a_program_from_before_the_ceiling_ends_as_well(box: Box) -> None:
    agents = spawners(never)
    stubborn(box, agents, Retry(max=1_000, base_ms=0)).run(rounds=1_000)
    assert len(agents["quick"].calls) == MOST_ATTEMPTS


def test_as_many_workers_as_a_cap_may_allow_are_lost(box: Box) -> None:
    def script(call: Any) -> Any:
        raise Crash

    agents = spawners(script)
    made = stubborn(box, agents, Retry(), max_lost=MOST_LOST)
    made.run(rounds=2_000)
    told = "dispatcher error for ref 'stubborn': lost after 98 attempts"
    assert made.final()["e"] == told
    assert len(agents["quick"].calls) == MOST_LOST + 1


def test_a_run_of_nested_fanouts_leaves_no_field_of_what_was_joined(box: Box) -> None:
    made = simulator(box, spawners())
    inner = fanout(lit([1, 2]), seq(INC, INC), out="$.inner")
    made.launch(program(seq(fanout(lit([3, 4]), seq(INC, inner)), INC)), {"a": 1})
    assert made.run().status == "done"
    assert [len(lane["inner"]) for lane in made.final()["out"]] == [2, 2]
    assert box.fields("R-1") == set()
