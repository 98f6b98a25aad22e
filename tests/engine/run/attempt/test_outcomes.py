"""Outcomes: values that are JSON, and when there is a retry."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from random_programs import AGENTS

from engine.blueprint.program import Agent, Retry
from engine.ports import StepCall
from engine.run.attempt.attempts import checked, make_attempt
from engine.run.attempt.outcomes import (
    HOW_UNKNOWN,
    JsonValue,
    Outcome,
    as_json,
    as_text,
    timed_out,
    unpack_outcome,
)
from engine.run.attempt.retry import judge, retry_delay
from engine.run.chain.machine import Failed, Passed, StepRequest
from engine.run.journal.entries import MOST_INPUT, pack_entry
from engine.run.limits import LONGEST_MS, Limits, timeout_of
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
    with pytest.raises(ValueError, match="can't be written as JSON"):
        as_json(value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"rows": [1, 2, 3, {"when": datetime.now(UTC)}]},
         "$.rows[3].when is a datetime; return text or numbers"),
        ({"due": date(2026, 1, 2)}, "$.due is a date; return text or numbers"),
        ({"a b": {"tags": {1}}}, '$["a b"].tags is a set; return a list'),
        ((1, b"x"), "$[1] is a bytes; return text"),
        ([OrderedDict(a=1)], "$[0] is an OrderedDict; return a dict"),
        ({"a": {3: 1}}, "$.a has the key 3; keys must be texts"),
        ({"x": [0.5, nan]}, "$.x[1] is nan; JSON has no such number"),
        ([2**64], "$[0] can't be written: Integer exceeds 64-bit range"),
        (object(), "$ is an object; return texts, numbers, lists and objects"),
        (cycle, "nested deeper than 127 containers"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_named_by_its_keys(value: Any, fault: str) -> None:
    with pytest.raises(ValueError, match="JSON") as caught:
        as_json(value)
    assert str(caught.value) == f"the result can't be written as JSON: {fault}"


def test_a_fault_of_a_result_is_cut() -> None:
    with pytest.raises(ValueError, match="JSON") as caught:
        as_json({"k" * 1000: {1}})
    assert len(str(caught.value)) < 550


@pytest.mark.parametrize(
    "value", [None, 2**64 - 1, -(2**63), nested(127), {"a": [None, 1.5, "ä"]}, []]
)
def test_json_comes_back_by_value(value: Any) -> None:
    back = as_json(value).value
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
    death = "the last worker was ended by signal 9"
    message = unpack_outcome(b'{"lost":4,"how":"%s"}' % death.encode()).flow_text
    assert message == f"lost after 4 attempts, {death}"
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
    passed = checked(Outcome("passed", 3), Limits())
    assert judged(passed, agent, 1, events) == Passed(as_json(3))
    assert judged(FAILED, agent, 1, events) == 0
    assert judged(FAILED, agent, 2, events) == Failed("no")
    assert judged(Outcome("lost", text="x"), agent, 1, events) == Failed("x")
    kinds = [event[0] for event in events if event[0] != "details"]
    assert kinds == ["passed", "retry", "failed", "step_lost"]


def judged(
    outcome: Outcome,
    agent: Agent,
    tries: int,
    events: list[Any],
    *,
    value: Any = 1,
    run: str = "R",
    limits: Limits | None = None,
) -> Any:
    request, limits = StepRequest(agent.name, value, "/p"), limits or Limits()
    return judge(outcome, agent, request, tries, events, limits, attempt=tries, run=run)


def test_only_a_failed_attempt_keeps_its_input_and_its_traceback() -> None:
    events: list[Any] = []
    agent, failed = AGENTS["inc"], replace(FAILED, traceback="File x")
    judged(checked(Outcome("passed", 3), Limits()), agent, 1, events)
    judged(checked(Outcome("blocked", 3), Limits()), agent, 1, events)
    assert [event[0] for event in events] == ["passed", "blocked"]

    judged(failed, agent, 1, events, value={"row": 800})
    judged(Outcome("lost", text="x"), agent, 1, events)
    assert written(events)[3] == ["details", "/p", 1, '{"row":800}', 11, "File x"]
    assert written(events)[5] == ["details", "/p", 1, "1", 1, ""]


def test_the_kept_input_is_bounded() -> None:
    events: list[Any] = []
    judged(FAILED, AGENTS["inc"], 1, events, value="ü" * 10_000)
    *_, given, size, _ = written(events)[1]
    assert size == 20_002
    assert len(given.encode()) in (MOST_INPUT, MOST_INPUT - 1)
    judged(
        FAILED, AGENTS["inc"], 1, events, value="x" * 99, limits=Limits(input_bytes=9)
    )
    assert written(events)[3][3:5] == ["", -1]


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


def test_stats_survive_the_check_and_the_signal_and_are_reported_once() -> None:
    stats = {"worker_kind": "subprocess", "usage": {"total": 3}}
    outcome = checked(Outcome("passed", 1, stats=stats), Limits())
    assert unpack_outcome(outcome.pack()).stats == stats
    assert unpack_outcome(Outcome("passed", 1).pack()).stats is None
    events: list[Any] = []
    judged(outcome, Agent("a", "k", "q", 1000), 2, events)
    assert written(events) == [
        ["passed", "/p", 2, "a", 1],
        ["stats", "/p", 2, stats],
    ]
    events = []
    plain = checked(Outcome("passed", 1), Limits())
    judged(plain, Agent("a", "k", "q", 1000), 1, events)
    assert written(events) == [["passed", "/p", 1, "a", 1]]


def written(events: list[Any]) -> Any:
    """Return events as a reader of the journal gets them."""
    return orjson.loads(pack_entry("0", 1, "", events))["e"]


def test_json_text_that_an_agent_hands_over_is_kept_on_one_line() -> None:
    made = as_json({"a": orjson.Fragment(b'[1,\n"x"]')})
    assert made == JsonValue({"a": [1, "x"]}, b'{"a":[1,"x"]}', 2)
    with pytest.raises(ValueError, match="can't be written as JSON"):
        as_json(orjson.Fragment(b"1, 2"))


def test_runs_that_fail_together_do_not_come_back_together() -> None:
    policy = Retry(max_attempts=9, base_ms=10_000, jitter=0.2)
    agent = Agent("a", "k", "q", 1_000, retry=policy)

    def wait(run: str) -> object:
        return judged(FAILED, agent, 1, [], run=run)

    waits = [wait(f"R-{n}") for n in range(50)]
    assert len(set(waits)) > 40
    assert waits == [wait(f"R-{n}") for n in range(50)]
