"""Outcomes: what JSON can hold, what is tried again and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from programs import AGENTS

from engine.blueprint.program import Agent, Retry
from engine.ports import StepCall
from engine.run.attempts import checked, judge, make_attempt
from engine.run.machine import Failed, Passed
from engine.run.outcomes import (
    HOW_UNKNOWN,
    Outcome,
    as_json,
    as_text,
    retry_delay,
    timed_out,
    unpack_outcome,
)
from engine.run.turn import LONGEST_MS, Limits, timeout_of
from engine.store.base import Ref
from engine.testing import ScriptedSpawner

FAILED = Outcome("failed", text="no")
REF = Ref("R-1", 1, "0")
nan, inf = float("nan"), float("inf")
cycle: list[Any] = []
cycle.append(cycle)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [nan, inf, {"a": [1, -inf]}, b"x", 2**64, -(2**63) - 1, {1: 2}, object(), {1, 2},
     "\ud800", nested(128), nested(500), cycle, [None, nan]],
)  # fmt: skip
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="can't be held as JSON"):
        as_json(value)


@pytest.mark.parametrize(
    "value", [None, 2**64 - 1, -(2**63), nested(127), {"a": [None, 1.5, "ä"]}, []]
)
def test_json_comes_back_by_value(value: Any) -> None:
    back, _ = as_json(value)
    assert back == value
    assert back is not value or not isinstance(value, (list, dict))


def test_waits_double_up_to_the_cap_and_end() -> None:
    policy = Retry(max_attempts=6, base_ms=100, cap_ms=500, jitter=0)
    waits = [retry_delay(policy, FAILED, tries, "p") for tries in range(1, 7)]
    assert waits == [100, 200, 400, 500, 500, None]


def test_jitter_is_the_same_for_the_same_attempt() -> None:
    policy = Retry(max_attempts=99, base_ms=1_000, jitter=0.2)
    waits = [retry_delay(policy, FAILED, 1, f"place {n}") for n in range(50)]
    assert waits == [retry_delay(policy, FAILED, 1, f"place {n}") for n in range(50)]
    assert all(wait is not None and 800 <= wait <= 1_200 for wait in waits)
    assert len(set(waits)) > 20


def test_a_budget_bounds_the_sum_of_waits() -> None:
    policy = Retry(max_attempts=99, base_ms=100, cap_ms=100, jitter=0, budget_ms=250)
    assert [retry_delay(policy, FAILED, n, "") for n in (1, 2, 3)] == [100, 100, None]


@pytest.mark.parametrize(
    "outcome",
    [Outcome("blocked"), Outcome("lost"), Outcome("passed"),
     Outcome("failed", permanent=True), Outcome("failed", error_type="ValueError")],
)  # fmt: skip
def test_some_outcomes_are_never_tried_again(outcome: Outcome) -> None:
    assert (
        retry_delay(Retry(max_attempts=9, never=("ValueError",)), outcome, 1, "")
        is None
    )


def test_signals_are_read_as_they_were_written() -> None:
    for outcome in (FAILED, Outcome("passed", {"a": 1}), timed_out(1_500)):
        assert unpack_outcome(outcome.pack()) == outcome
    told = "the last worker was ended by signal 9"
    said = unpack_outcome(b'{"lost":4,"how":"%s"}' % told.encode()).flow_text
    assert said == f"lost after 4 attempts, {told}"
    unknown = unpack_outcome(b'{"lost":4}').flow_text
    assert unknown == f"lost after 4 attempts, {HOW_UNKNOWN}"
    assert timed_out(1_500).text == "timed out after 1.5 s"
    assert Outcome("blocked", {"b": 1, "a": 2}).flow_text == 'blocked: {"a":2,"b":1}'


def test_texts_are_made_fit_for_the_journal() -> None:
    assert as_text("a\ud800b") == "a?b"
    assert len(as_text("x" * 100_000)) < 66_000


def attempted(script: Any, limits: Limits | None = None, value: Any = 1) -> Outcome:
    agents = {"quick": ScriptedSpawner(script)}
    made = limits or Limits()
    return make_attempt(agents, AGENTS["inc"], REF, "/p", 1, value, made)


def test_an_attempt_never_raises() -> None:
    class Broken:
        in_process = True

        def run(self, call: StepCall) -> Outcome:
            raise RuntimeError("spawner \ud800")

    broken = make_attempt(
        {"quick": Broken()}, AGENTS["inc"], REF, "/p", 1, None, Limits()
    )
    assert (broken.kind, broken.text) == ("failed", "RuntimeError: spawner ?")
    absent = make_attempt({}, AGENTS["inc"], REF, "/p", 1, None, Limits())
    assert absent.permanent
    assert "no spawner" in absent.text
    assert attempted([nan]).permanent
    assert attempted([1], value=nested(300)).permanent
    large = attempted([1], Limits(input_bytes=5), ["x" * 9])
    assert "SWARM_INPUT_LIMIT" in large.text
    assert "SWARM_CTX_LIMIT" in attempted(["x" * 9], Limits(ctx_bytes=5)).text


def test_an_agent_may_change_its_input() -> None:
    value = {"a": [1]}

    def greedy(call: StepCall) -> Any:
        call.input["a"].append(2)
        return call.input

    assert attempted(greedy, value=value).value == {"a": [1, 2]}
    assert value == {"a": [1]}


def test_an_outcome_becomes_a_signal_or_a_wait_and_an_event() -> None:
    events: list[Any] = []
    agent = AGENTS["bad"]
    assert judge(
        Outcome("passed", 3), agent, "/p", 1, events, attempt=1, run="R"
    ) == Passed(3)
    assert judge(FAILED, agent, "/p", 1, events, attempt=1, run="R") == 0
    assert judge(FAILED, agent, "/p", 2, events, attempt=2, run="R") == Failed("no")
    assert judge(
        Outcome("lost", text="x"), agent, "/p", 1, events, attempt=1, run="R"
    ) == Failed("x")
    kinds = [event[0] for event in events]
    assert kinds == ["passed", "retry", "failed", "step_lost"]


def test_a_timeout_fits_the_record() -> None:
    agent = AGENTS["inc"]
    assert timeout_of(agent, Limits()) == agent.timeout_ms
    endless = type(agent)("x", "quick", "q", 10**12)
    assert timeout_of(endless, Limits()) == LONGEST_MS == 999_999_999


def test_the_installation_sets_the_timeout_that_a_blueprint_leaves_open() -> None:
    agent = replace(AGENTS["inc"], timeout_ms=None)
    limits = Limits(attempt_ms=2_500)
    assert timeout_of(agent, limits) == 2_500
    seen: list[StepCall] = []

    class Watching:
        in_process = True

        def run(self, call: StepCall) -> Outcome:
            seen.append(call)
            return Outcome("passed", call.input)

    make_attempt({agent.kind: Watching()}, agent, REF, "/p", 1, 1, limits)
    assert [call.timeout_s for call in seen] == [2.5]


def test_stats_survive_the_check_and_the_signal_and_are_told_once() -> None:
    stats = {"worker_kind": "subprocess", "usage": {"total": 3}}
    outcome = checked(Outcome("passed", 1, stats=stats), Limits())
    assert unpack_outcome(outcome.pack()).stats == stats
    assert unpack_outcome(Outcome("passed", 1).pack()).stats is None
    events: list[Any] = []
    judge(outcome, Agent("a", "k", "q", 1000), "/x", 2, events, attempt=2, run="R")
    assert events == [["passed", "/x", 2, "a", 1], ["stats", "/x", 2, stats]]
    events = []
    judge(
        Outcome("passed", 1),
        Agent("a", "k", "q", 1000),
        "/x",
        1,
        events,
        attempt=1,
        run="R",
    )
    assert events == [["passed", "/x", 1, "a", 1]]


def test_runs_that_fail_together_do_not_come_back_together() -> None:
    policy = Retry(max_attempts=9, base_ms=10_000, jitter=0.2)
    agent = Agent("a", "k", "q", 1_000, retry=policy)

    def wait(run: str) -> object:
        return judge(FAILED, agent, "/x", 1, [], attempt=1, run=run)

    waits = [wait(f"R-{n}") for n in range(50)]
    assert len(set(waits)) > 40
    assert waits == [wait(f"R-{n}") for n in range(50)]
