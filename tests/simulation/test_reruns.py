"""A run begins again at any step: what did not follow from it is kept and not run again."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from random_programs import answer, spawners
from random_runs import CHAOS, CONTEXTS, made
from simulation_checks import ENDS, check_empty, text
from simulation_oracle import Oracle
from store_boxes import Box, audit

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.run.drive import chords, lanes
from engine.run.limits import Limits
from engine.run.replay.branches import BranchRefused, branch
from engine.run.replay.cuts import Cut, Read, find_cut, kept, read_all
from engine.run.replay.failures import failed_cuts
from engine.run.replay.install import Opening, generation_from, install
from engine.run.states import FINAL_RUN
from engine.testing import Simulator

SEEDS = 200


def ended(
    box: Box, seed: int, dice: random.Random, monkeypatch: pytest.MonkeyPatch
) -> tuple[Simulator, Program, Any]:
    """Run a random program to its end."""
    batch = dice.choice((1, 2, 4))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    monkeypatch.setattr(lanes, "RESULTS", dice.choice((1, 2, 16)))
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    dialect = dice.choice(("flow.ir", "swarm"))
    program, ctx = made(seed, dialect), CONTEXTS[dialect]
    bounds = Limits(steps=dice.choice((0, 1, 2, 100)), window=dice.choice((2, 3, 1024)))
    chaos = dice.choice(CHAOS)
    simulator = Simulator(box.store, spawners(), seed=seed, chaos=chaos, limits=bounds)
    assert simulator.launch(program, ctx) == "ok"
    simulator.run()
    return simulator, program, ctx


def again(
    simulator: Simulator, program: Program, ctx: Any, read: list[Read], cuts: list[Cut]
) -> list[list[Any]]:
    """Begin again without what followed from the cuts; return the events that count."""
    left = list(kept(read, cuts))
    found = branch(program, (entry for entry, _ in left), cuts, ctx=ctx)
    store = simulator.store
    opening = Opening(store.now_ms(), 3_600_000)
    assert install(store, generation_from(found, "R-1", 2), program, opening) == "ok"
    simulator.run()
    before = [event for _, content in left for event in content.events]
    later = [one for one in simulator.entries() if one.gen == 2]
    after = [e for one in later for e in orjson.loads(one.data)["e"]]
    return before + after


def check(
    simulator: Simulator, program: Program, ctx: Any, events: Sequence[Any]
) -> None:
    """Compare the end with the oracle; a step has ended once in what counts."""
    decided = {event[1]: event[2] for event in events if event[0] == "joined"}
    oracle, failure, value = Oracle(answer, decided), None, None
    try:
        value = oracle.run(program.flow, ctx)
    except FlowError as error:
        failure = [error.kind, str(error)]
    head = simulator.store.head("R-1")
    assert head is not None
    assert (head.gen, head.status) == (2, "failed" if failure else "done")
    if failure is None:
        assert text(simulator.final()) == text(value)
    ends = Counter(event[1] for event in events if event[0] in ENDS)
    assert not {place for place, count in ends.items() if count != 1}
    assert not set(oracle.steps) - set(ends)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_begins_again_at_any_step(
    box: Box, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(f"rerun {seed}")
    simulator, program, ctx = ended(box, seed, dice, monkeypatch)
    read = read_all(simulator.entries())
    places = sorted({e[1] for _, one in read for e in one.events if e[0] in ENDS})
    if not places:
        return
    place = dice.choice(places)
    cut = find_cut(read, place)
    assert cut is not None
    try:
        events = again(simulator, program, ctx, read, [cut])
    except BranchRefused:
        assert "/lane[" in place
        return
    # Another lane may be the faster one this time.
    raced = [e[1] for e in events if e[0] == "joined" and e[2] >= 0]
    ran = {e[1] for e in events if e[0] in ENDS}
    assert place in ran or place.startswith(tuple(f"{one}/lane[" for one in raced))
    check(simulator, program, ctx, events)
    audit(box, "R-1")
    simulator.settle_down()
    check_empty(box)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_what_has_failed_runs_again_and_the_rest_is_kept(
    box: Box, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(f"failed {seed}")
    simulator, program, ctx = ended(box, seed, dice, monkeypatch)
    read = read_all(simulator.entries())
    cuts = failed_cuts(read)
    if not cuts:
        head = simulator.store.head("R-1")
        assert head is not None
        assert head.status == "done"
        return
    events = again(simulator, program, ctx, read, cuts)
    check(simulator, program, ctx, events)
    assert simulator.store.head("R-1").status in FINAL_RUN  # type: ignore[union-attr]
