"""The policy of agents: durations, its two spellings, and words of other systems."""

from __future__ import annotations

from typing import Any

import pytest
from blueprint_findings import refused

from engine.blueprint import Agent, Retry, compile_blueprint


def document(agent: Any, hints: Any = None, **more: Any) -> Any:
    step = {
        "kind": "step", "ref": "f", "in": {"op": "lit", "value": 1},
        "out": {"op": "path", "at": "$.a"},
    }  # fmt: skip
    own = {"name": "f", "kind": "python_fn", "spec": {"fn_id": "identity"}, **agent}
    per_agent = {} if hints is None else {"hints": {"per_agent": {"f": hints}}}
    return {"id": "case", "flow": step, "agents": [own], **per_agent, **more}


def agent_of(agent: Any, hints: Any = None) -> Agent:
    return compile_blueprint(document(agent, hints)).agents["f"]


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (30, 30_000), (0.5, 500), ("30s", 30_000), ("0.5s", 500), ("5m", 300_000),
        ("1h30m", 5_400_000), ("2d", 172_800_000), ("1d1h1m1.25s", 90_061_250),
        ("90m", 5_400_000), ("366d", 31_622_400_000),
    ],
)  # fmt: skip
def test_a_duration_is_a_text_or_a_number_of_seconds(written: Any, ms: int) -> None:
    assert agent_of({"timeout": written}).timeout_ms == ms


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "30 s", "5 minutes", "1m1h", "1s1s", "-1s", "0s", "0h0m", "1.5h",
     "1e3s", "٣s", "30s\n", "1000000000s", "1h 30m", "30S", "2w"],
)  # fmt: skip
def test_any_other_text_is_refused_with_examples(text: str) -> None:
    for agent in ({"timeout": text}, {"retry": {"budget": text}}):
        (found,) = refused(document(agent))
        assert "such as '30s', '5m' or '1h30m'" in found.message


@pytest.mark.parametrize("value", [0, -1, True, [], 366 * 24 * 3600 + 1, "367d"])
def test_a_duration_is_more_than_nothing_and_at_most_a_year(value: Any) -> None:
    (found,) = refused(document({"timeout": value}))
    assert found.place == "$.agents[0].timeout"


def test_both_spellings_are_one_policy() -> None:
    key = {"op": "path", "at": "$.who"}
    own = agent_of(
        {"timeout": "2m", "queue": "gpu", "priority": "hi",
         "retry": {"max_attempts": 3, "base": "2s", "cap": "1m", "jitter": 0.5,
                   "budget": "5m", "not": ["KeyError"]},
         "limit": {"key": key, "max": 2}},
    )  # fmt: skip
    hints = agent_of(
        {},
        {"timeout_s": 120, "queue": "gpu", "priority": "hi",
         "retry": {"max_attempts": 3, "base_s": 2, "cap_s": 60, "jitter": 0.5,
                   "budget_s": 300, "not": ["KeyError"]},
         "limit": {"key": key, "max": 2}},
    )  # fmt: skip
    assert own == hints
    assert own.retry == Retry(3, 2_000, 60_000, 0.5, 300_000, ("KeyError",))
    assert (own.queue, own.limit) == ("gpu.hi", {"key": key, "max": 2})


def test_different_fields_of_both_are_merged() -> None:
    merged = agent_of({"timeout": "1s", "priority": "lo"}, {"retry": {"base_s": 90}})
    assert (merged.timeout_ms, merged.queue) == (1_000, "swarm.python_fn.lo")
    # A base above the default cap moves the cap.
    assert (merged.retry.base_ms, merged.retry.cap_ms) == (90_000, 90_000)


def test_an_agent_without_a_policy_has_the_defaults() -> None:
    nulls = dict.fromkeys(("timeout", "retry", "queue", "priority", "limit"))
    assert agent_of(nulls) == agent_of({}) == agent_of({}, {})
    assert agent_of({}).retry == Retry()
    # Null is no field, so that it does not collide with the other spelling.
    assert agent_of(nulls, {"timeout_s": 3}).timeout_ms == 3_000


def test_a_cap_is_not_less_than_the_base() -> None:
    (found,) = refused(document({"retry": {"base": "1m", "cap": "30s"}}))
    assert (found.place, found.message) == (
        "$.agents[0].retry",
        "cap must not be less than base",
    )


@pytest.mark.parametrize(
    ("agent", "hint"),
    [
        ({"retry": {"base_s": 1}}, "did you mean 'base'?"),
        ({"retry": {"max_retries": 3}}, "write retry: {max_attempts: N}"),
        ({"retires": 3}, "did you mean 'retry'?"),
        ({"attempts": 3}, "write retry: {max_attempts: N}"),
        ({"timeout_secs": 3}, "write timeout: 30s"),
        ({"prio": "hi"}, "did you mean 'priority'?"),
    ],
)
def test_a_near_miss_is_told_the_right_word(agent: Any, hint: str) -> None:
    (found,) = refused(document(agent))
    assert found.kind == "unknown-field"
    assert found.help.startswith(hint)


@pytest.mark.parametrize(
    "word", ["timeout", "timeout_s", "retry", "max_retries", "queue"]
)
def test_a_policy_in_the_wrong_place_is_sent_to_the_agent(word: str) -> None:
    (found,) = refused(document({}, **{word: 3}))
    assert (found.place, found.help) == ("$", "it belongs to an agent, in `agents`")
    flow = {**document({})["flow"], word: 3}
    (found,) = refused(document({}) | {"flow": flow})
    assert found.place == "$.flow"
    assert found.help.startswith("it belongs to the agent: write ")


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("if", "branch"), ("while", "loop"), ("for", "loop"), ("map", "fanout"),
     ("parallel", "fanout"), ("foreach", "fanout"), ("set", "let")],
)  # fmt: skip
def test_a_kind_of_another_language_is_told_the_kind_here(
    kind: str, meant: str
) -> None:
    (found,) = refused(document({}) | {"flow": {"kind": kind}})
    assert (found.place, found.help) == ("$.flow.kind", f"did you mean '{meant}'?")


@pytest.mark.parametrize(("op", "meant"), [("equals", "eq"), ("==", "eq"), (">", "gt")])
def test_an_operator_of_another_language_is_told_the_one_here(
    op: str, meant: str
) -> None:
    flow = {"kind": "let", "at": "$.a", "value": {"op": op}}
    (found,) = refused(document({}) | {"flow": flow})
    assert found.help == f"did you mean '{meant}'?"
