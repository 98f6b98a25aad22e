"""A snapshot begins the next generation: what was under way starts again where it belongs."""

from __future__ import annotations

from flow_documents import at, seq, step
from followed_runs import replayed
from random_programs import program, spawners
from store_boxes import Box
from store_calls import A, B

from engine.blueprint.program import Program
from engine.run.attempt.outcomes import Outcome
from engine.run.replay import ChainSnapshot
from engine.run.replay.install import generation_from
from engine.store.base import ENGINE_QUEUE, Claimed, Ref
from engine.store.record import ChainState
from engine.testing import Simulator

CTX = {"a": 1}
ROOT = Ref("R-1", 1, "0")


def begun(simulator: Simulator, found: Program) -> ChainSnapshot:
    """Return the root chain with which the next generation begins."""
    made = replayed(found, CTX, simulator.entries())
    return generation_from(made.snapshot(), "R-1", 2).chains["0"]


def test_an_attempt_whose_reported_outcome_is_not_journaled_is_made_again(
    box: Box,
) -> None:
    found = program(seq(step("inc", at("$.a"), "$.a")))
    simulator = Simulator(box.store, spawners())
    simulator.launch(found, CTX)
    claimed = box.store.claim(ROOT, A, "swarm.lua")
    assert isinstance(claimed, Claimed)
    seq_number = claimed.record.seq
    # Its keeper reports the end, and the worker that takes the report dies.
    outcome = Outcome("timed_out", None, "timed out").pack()
    assert box.store.signal(ROOT, seq_number, A, outcome) == "ok"
    assert isinstance(box.store.claim(ROOT, B, ENGINE_QUEUE), Claimed)
    box.pass_time(70_000)
    assert box.store.expire(90) == 1
    chain = begun(simulator, found)
    assert (chain.state, chain.queue) == (ChainState.HELD, "swarm.lua")
    assert (chain.tries, chain.lost) == (0, 1)
