"""Random programs on random schedules end as the language says, over both stores."""

from __future__ import annotations

import random
from typing import Any

import pytest
from checks import check_attempts, check_empty, check_end, check_journal, text
from oracle import Oracle
from programs import CTX, Maker, answer, program, spawners
from store_boxes import Box, MemoryBox, RedisBox, audit

from engine.blueprint.program import Program
from engine.flow import FlowError, evaluate
from engine.run import chords, engine, lanes
from engine.run.turn import Limits
from engine.testing import CALM, STORM, Chaos, Simulator

CHAOS = [
    CALM,
    Chaos(double=0.3, lost_reply=0.3),
    Chaos(drop=0.3, steward=0.2),
    Chaos(crash=0.1),
    Chaos(interleave=0.5),
    STORM,
    Chaos(0.2, 0.1, 0.06, 0.2, 0.4, 0.1),
]
PARTS = 10
MEMORY = 400
REDIS = 40
LARGEST = 100_000


def ends(run: Any) -> tuple[str, Any]:
    try:
        return "done", text(run())
    except FlowError as error:
        return "failed", (error.kind, str(error))


def made(seed: int) -> Program:
    """Return a program small enough to be expanded."""
    dice = random.Random(seed)
    while True:
        found = program(Maker(dice, left=dice.choice((8, 16, 30))).flow())
        how, what = ends(lambda: Oracle(answer).run(found.flow, CTX))  # noqa: B023
        if how == "failed" or len(what) < LARGEST:
            return found


def limits(dice: random.Random) -> Limits:
    """Return limits, mostly small ones."""
    return Limits(
        steps=dice.choice((0, 1, 2, 100)),
        window=dice.choice((2, 3, 1024)),
        consumers=dice.choice((1, 2)),
    )


def simulate(box: Box, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(f"schedule {seed}")
    monkeypatch.setattr(engine, "FOLD_AT", dice.choice((20, 60, 300, 16 * 1024)))
    monkeypatch.setattr(chords, "UPLOAD_ABOVE", dice.choice((1, 256 * 1024)))
    # So that small fanouts are batched too.
    batch = dice.choice((1, 2, 4))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    monkeypatch.setattr(lanes, "RESULTS", dice.choice((1, 2, 16)))
    found, agents = made(seed), spawners()
    chaos = CHAOS[seed % len(CHAOS)]
    simulator = Simulator(
        box.store, box.pop, box.pass_time, agents, seed=seed, chaos=chaos,
        limits=limits(dice), fuel_nodes=dice.choice((1, 3, 20_000)),
        workers=[lambda q: True, lambda q: q == "swarm.lua", lambda q: True],
    )  # fmt: skip
    try:
        simulator.launch(found, CTX)
        for _ in range(5_000):
            head = box.store.head("R-1")
            assert head is not None
            if head.status != "running":
                break
            simulator.turn()
            audit(box, "R-1")
        simulator.run(rounds=1)
        steps = check_end(simulator, found, CTX)
        simulator.settle_down()
        check_journal(simulator, steps)
        check_empty(box)
        if chaos in CHAOS[:2] or not (chaos.crash or chaos.steward or chaos.interleave):
            check_attempts(simulator, agents)
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_in_memory_ends_as_the_language_says(
    monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    for seed in range(part, MEMORY, PARTS):
        simulate(MemoryBox(), seed, monkeypatch)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_on_a_server_ends_as_the_language_says(
    monkeypatch: pytest.MonkeyPatch, redis_socket: str, part: int
) -> None:
    for seed in range(part, REDIS, PARTS):
        box = RedisBox(redis_socket)
        simulate(box, seed, monkeypatch)
        box.client.close()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_runs_in_memory_end_as_the_language_says(
    monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    for seed in range(10_000 + part, 13_000, 20):
        simulate(MemoryBox(), seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_runs_on_a_server_end_as_the_language_says(
    monkeypatch: pytest.MonkeyPatch, redis_socket: str, part: int
) -> None:
    for seed in range(20_000 + part, 20_200, 20):
        box = RedisBox(redis_socket)
        simulate(box, seed, monkeypatch)
        box.client.close()


def test_the_oracle_agrees_with_the_interpreter() -> None:
    for seed in range(1_000):
        found = made(seed)
        ours = ends(lambda: Oracle(answer).run(found.flow, CTX))  # noqa: B023
        assert ours == ends(lambda: evaluate(found.flow, CTX, answer)), seed  # noqa: B023
