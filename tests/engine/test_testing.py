"""The shipped doubles: they follow their script and repeat themselves from a seed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from flow_documents import at, fanout, lit, seq, step
from random_programs import AGENTS, CTX, program, spawners

from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.drive import lanes
from engine.testing import STORM, Chaos, ScriptedSpawner
from workers.pytest_plugin import MakeSimulator

FLOW = seq(
    step("inc", at("$.a"), "$.a"),
    fanout(lit(list(range(9))), step("later", at("$.item"), "$.b")),
)
CALL = StepCall("R-1", 1, "/p", AGENTS["inc"], 1, 5, 60.0)


def test_a_list_is_answered_in_order_and_then_fails() -> None:
    spawner = ScriptedSpawner([1, ValueError("no"), Outcome("blocked", 2)])
    got = [spawner.run(CALL) for _ in range(4)]
    assert [outcome.kind for outcome in got] == [
        "passed",
        "failed",
        "blocked",
        "failed",
    ]
    assert (got[1].text, got[1].error_type) == ("no", "ValueError")
    assert got[3].permanent
    assert spawner.calls == [CALL] * 4


def test_a_function_sees_the_call() -> None:
    spawner = ScriptedSpawner(lambda call: call.input * 2, in_process=False)
    assert spawner.run(CALL).value == 10
    assert not spawner.in_process


def actions_of(
    swarm_simulator: MakeSimulator, seed: int, chaos: Chaos = STORM
) -> list[Any]:
    made = swarm_simulator(spawners(), seed=seed, chaos=chaos)
    made.launch(program(FLOW), CTX)
    made.run()
    return made.actions


def test_the_same_seed_makes_the_same_trail(
    swarm_simulator: MakeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that has much to do lanes take so long that they are committed earlier.
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    assert actions_of(swarm_simulator, 3) == actions_of(swarm_simulator, 3)
    assert actions_of(swarm_simulator, 3) != actions_of(swarm_simulator, 4)


@pytest.mark.parametrize(
    ("chaos", "word"),
    [(Chaos(drop=0.5), "drop"), (Chaos(crash=0.2), "crash"), (Chaos(steward=0.5), "steward")],
)  # fmt: skip
def test_requested_options_take_effect(
    swarm_simulator: MakeSimulator, chaos: Chaos, word: str
) -> None:
    assert any(
        line.startswith(word)
        for seed in range(5)
        for line in actions_of(swarm_simulator, seed, chaos)
    )


def test_a_doubled_message_is_delivered_twice(swarm_simulator: MakeSimulator) -> None:
    once, twice = (
        sum(
            line.startswith("worker")
            for line in actions_of(swarm_simulator, 1, Chaos(double=chance))
        )
        for chance in (0.0, 1.0)
    )
    assert twice > once


def test_a_run_that_does_not_end_is_reported_with_its_trail(
    swarm_simulator: MakeSimulator,
) -> None:
    made = swarm_simulator(spawners(), chaos=Chaos(drop=1.0))
    made.launch(program(FLOW), CTX)
    with pytest.raises(AssertionError, match="has not ended"):
        made.run(rounds=30)


def test_a_store_that_answers_a_resend_differently_is_found(
    swarm_simulator: MakeSimulator,
) -> None:
    made = swarm_simulator(spawners(), chaos=Chaos(lost_reply=1.0))
    made.launch(program(FLOW), CTX)
    answers = iter(range(9))
    made.store.claim = lambda *args: next(answers)  # type: ignore[method-assign,assign,return-value]
    with pytest.raises(AssertionError, match="claim answered 0, then 1"):
        made.run()
