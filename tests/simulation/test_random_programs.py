"""Random programs on random schedules end as the language defines, over the real store."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import pytest
from flow_documents import at, fanout, lit, seq, step
from followed_runs import FollowedRun
from random_programs import answer, program, spawners
from random_runs import CHAOS, CONTEXTS, ends, made
from simulation_checks import (
    check_attempts,
    check_chords,
    check_empty,
    check_end,
    check_journal,
    text,
)
from simulation_oracle import Oracle
from store_boxes import Box, audit

from engine.blueprint.program import Program
from engine.flow import DIALECTS, Dialect, evaluate
from engine.run.chain.layout import Layout
from engine.run.drive import chords, folding, lanes
from engine.run.limits import Limits
from engine.testing import Simulator

PARTS = 10
SCHEDULES = 440
SWARM_WORDS = (
    '"default"', '"object"', '"array"', '"template"', '"merge"', '"sort_by"', '"unique"',
    '"any", "in"', '"all", "in"', '"filter"', '"map"', '"select"',
    '"max_parallel"', '"on_max": "fail"', '"err_as": "object"', "[0]", "[-1]",
)  # fmt: skip


def limits(dice: random.Random) -> Limits:
    """Return limits, mostly small ones."""
    return Limits(
        steps=dice.choice((0, 1, 2, 100)),
        window=dice.choice((2, 3, 1024)),
        consumers=dice.choice((1, 2)),
    )


def simulate(
    box: Box,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    dialect: Dialect = "flow.ir",
    found: Program | None = None,
) -> None:
    box.empty()
    dice = random.Random(f"schedule {seed}")
    monkeypatch.setattr(folding, "FOLD_AT", dice.choice((20, 60, 300, 16 * 1024)))
    monkeypatch.setattr(chords, "UPLOAD_ABOVE", dice.choice((1, 256 * 1024)))
    # So that small fanouts are batched too.
    batch = dice.choice((1, 2, 4))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    monkeypatch.setattr(lanes, "RESULTS", dice.choice((1, 2, 16)))
    # A seed does the same however slow the machine is.
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    found, agents, ctx = found or made(seed, dialect), spawners(), CONTEXTS[dialect]
    chaos = CHAOS[seed % len(CHAOS)]
    bounds = limits(dice)
    followed = FollowedRun(box, found, ctx, bounds)
    simulator = Simulator(
        box.store, agents, seed=seed, chaos=chaos,
        limits=bounds, fuel_nodes=dice.choice((1, 3, 20_000)),
        workers=[lambda q: True, lambda q: q == "swarm.lua", lambda q: True],
    )  # fmt: skip
    try:
        simulator.launch(found, ctx)
        layout = Layout(found.flow)
        for _ in range(5_000):
            view = audit(box, "R-1")
            assert view is not None
            check_chords(view, layout)
            followed.check(view)
            if view.status != "running":
                break
            simulator.turn()
        simulator.run(rounds=1)
        steps = check_end(simulator, found, ctx)
        assert text(followed.replay.ctx()) == text(simulator.final())
        simulator.settle_down()
        check_journal(simulator, steps)
        check_empty(box)
        if chaos in CHAOS[:2] or not (chaos.crash or chaos.steward or chaos.interleave):
            check_attempts(simulator, agents)
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_ends_as_the_language_defines(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int
) -> None:
    for seed in range(part, SCHEDULES, PARTS):
        simulate(box, seed, monkeypatch)


def decided_later(seed: int) -> Program:
    """Return a program with lanes whose second or third step may decide their chord."""
    dice = random.Random(seed)
    items = [dice.randint(0, 5) for _ in range(8)]
    inc, odd = step("inc", at("$.a"), "$.a"), step("odd", at("$.item"), "$.b")
    body = seq(inc, *[inc] * dice.randint(0, 1), odd, *[inc] * dice.randint(0, 1))
    split = {"kind": "try", "body": fanout(lit(items), body), "catch": inc}
    return program(seq(split | {"err_at": at("$.e")}, *[inc] * dice.randint(0, 2)))


def test_lanes_of_a_decided_chord_run_no_unreported_agent(
    monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    for seed in range(0, 80 * len(CHAOS), len(CHAOS)):
        simulate(box, seed, monkeypatch, found=decided_later(seed))
    for seed in range(70):
        simulate(box, seed, monkeypatch, found=decided_later(seed))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_runs_end_as_the_language_defines(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int
) -> None:
    for seed in range(10_000 + part, 13_200, 20):
        simulate(box, seed, monkeypatch)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_of_the_dialect_ends_as_the_language_defines(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int
) -> None:
    for seed in range(40_000 + part, 40_000 + SCHEDULES, PARTS):
        simulate(box, seed, monkeypatch, "swarm")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_runs_of_the_dialect_end_as_the_language_defines(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int
) -> None:
    for seed in range(60_000 + part, 63_000, 20):
        simulate(box, seed, monkeypatch, "swarm")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_oracle_agrees_with_the_interpreter(dialect: Dialect) -> None:
    ctx = CONTEXTS[dialect]
    for seed in range(1_000):
        found = made(seed, dialect)
        ours = ends(lambda: Oracle(answer).run(found.flow, ctx))  # noqa: B023
        assert ours == ends(lambda: evaluate(found.flow, ctx, answer)), seed  # noqa: B023


def test_the_programs_of_the_dialect_use_all_of_it() -> None:
    words = Counter[str]()
    good = 0
    for seed in range(400):
        found = made(seed, "swarm")
        flow = found.flow
        good += ends(lambda: Oracle(answer).run(flow, CONTEXTS["swarm"]))[0] == "done"  # noqa: B023
        text = json.dumps(found.flow_json)
        words.update(word for word in SWARM_WORDS if word in text)
    assert set(words) == set(SWARM_WORDS)
    assert min(words.values()) > 20, words
    assert good > 200, f"{good} of 400 end well"
