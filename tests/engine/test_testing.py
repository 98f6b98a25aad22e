"""The shipped doubles: they follow their script and repeat themselves from a seed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "simulation"))

from programs import AGENTS, CTX, at, fanout, lit, program, seq, spawners, step

from engine.ports import StepCall
from engine.run.outcomes import Outcome
from engine.testing import STORM, Chaos, ScriptedSpawner, Simulator

FLOW = seq(
    step("inc", at("$.a"), "$.a"),
    fanout(lit(list(range(9))), step("later", at("$.item"), "$.b")),
)
CALL = StepCall("R-1", 1, "/p", "ST-0", AGENTS["inc"], 1, 5, 60.0)


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


def told(seed: int, chaos: Chaos = STORM) -> list[Any]:
    made = Simulator.over_memory(spawners(), seed=seed, chaos=chaos)
    made.launch(program(FLOW), CTX)
    made.run()
    return made.trail


def test_the_same_seed_makes_the_same_trail() -> None:
    assert told(3) == told(3)
    assert told(3) != told(4)


@pytest.mark.parametrize(
    ("chaos", "word"),
    [(Chaos(drop=0.5), "drop"), (Chaos(crash=0.2), "crash"), (Chaos(steward=0.5), "steward")],
)  # fmt: skip
def test_what_is_asked_for_happens(chaos: Chaos, word: str) -> None:
    assert any(line.startswith(word) for seed in range(5) for line in told(seed, chaos))


def test_a_doubled_message_is_delivered_twice() -> None:
    once, twice = (
        sum(line.startswith("worker") for line in told(1, Chaos(double=chance)))
        for chance in (0.0, 1.0)
    )
    assert twice > once


def test_a_run_that_does_not_end_is_told_with_its_trail() -> None:
    made = Simulator.over_memory(spawners(), chaos=Chaos(drop=1.0))
    made.launch(program(FLOW), CTX)
    with pytest.raises(AssertionError, match="not over"):
        made.run(rounds=30)


def test_a_store_that_answers_a_resend_differently_is_found() -> None:
    made = Simulator.over_memory(spawners(), chaos=Chaos(lost_reply=1.0))
    made.launch(program(FLOW), CTX)
    answers = iter(range(9))
    made.store.claim = lambda *args: next(answers)  # type: ignore[method-assign,assign,return-value]
    with pytest.raises(AssertionError, match="claim answered 0, then 1"):
        made.run()
