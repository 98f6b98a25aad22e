"""Random programs are cut off anywhere, and a snapshot of them ends in the next generation."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from random_programs import answer, spawners
from random_runs import CHAOS, CONTEXTS, made
from simulation_checks import ENDS, check_empty, text
from simulation_oracle import Oracle
from store_boxes import Box, audit

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.run.limits import Limits
from engine.run.replay import Replay, Snapshot
from engine.run.replay.install import Opening, generation_from, install
from engine.run.states import FINAL_RUN
from engine.testing import Simulator

SEEDS = 120


def limits(dice: random.Random) -> Limits:
    """Return limits, mostly small ones."""
    return Limits(
        steps=dice.choice((0, 1, 2, 100)),
        window=dice.choice((2, 3, 1024)),
        consumers=dice.choice((1, 2)),
    )


def cut_off(simulator: Simulator, dice: random.Random) -> bool:
    """Let a run go on for a while; return whether it is still open then."""
    for _ in range(dice.choice((0, 1, 2, 3, 5, 8, 13, 30))):
        head = simulator.store.head("R-1")
        if head is None or head.status in FINAL_RUN:
            return False
        simulator.turn()
    head = simulator.store.head("R-1")
    return head is not None and head.status not in FINAL_RUN


def next_generation(simulator: Simulator, made: Replay, gen: int) -> Snapshot:
    """Install what the journal of a generation gives as the next one; return it."""
    for entry in simulator.entries():
        if entry.gen == gen:
            made.apply(entry)
    store = simulator.store
    assert store.finish("R-1", gen, "failed", "cut off") == "ok"
    later = generation_from(made.snapshot(), "R-1", gen + 1)
    opening = Opening(now_ms=store.now_ms(), deadline_ms=3_600_000)
    # An installer that is interrupted starts again.
    assert install(store, later, made.moves.program, opening) == "ok"
    assert install(store, later, made.moves.program, opening) == "ok"
    return Snapshot.from_json(later.to_json())


def check_end(simulator: Simulator, program: Program, ctx: Any, events: Any) -> None:
    """Compare the end with the oracle; a step has ended once over all generations."""
    decided = {event[1]: event[2] for event in events if event[0] == "joined"}
    oracle, failure, value = Oracle(answer, decided), None, None
    try:
        value = oracle.run(program.flow, ctx)
    except FlowError as error:
        failure = [error.kind, str(error)]
    head = simulator.store.head("R-1")
    assert head is not None
    assert head.status == ("failed" if failure else "done")
    if failure is None:
        assert text(simulator.final()) == text(value)
    ends = Counter(event[1] for event in events if event[0] in ENDS)
    assert not {place for place, count in ends.items() if count != 1}
    assert not set(oracle.steps) - set(ends)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_that_was_cut_off_ends_in_a_later_generation(box: Box, seed: int) -> None:
    dice = random.Random(seed)
    dialect = dice.choice(("flow.ir", "swarm"))
    program, ctx = made(seed, dialect), CONTEXTS[dialect]
    bounds = limits(dice)
    simulator = Simulator(
        box.store, spawners(), seed=seed, chaos=dice.choice(CHAOS), limits=bounds
    )
    assert simulator.launch(program, ctx) == "ok"
    followed, gen = Replay(program, ctx, limits=bounds), 1
    while gen < 4 and cut_off(simulator, dice):
        snapshot = next_generation(simulator, followed, gen)
        audit(box, "R-1")
        followed, gen = Replay(program, snapshot=snapshot), gen + 1
    simulator.run()
    cuts = [["run_failed", "cut off"]]
    events = [event for event in simulator.events() if event not in cuts]
    check_end(simulator, program, ctx, events)
    simulator.settle_down()
    check_empty(box)
