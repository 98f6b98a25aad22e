"""The decorator of agent functions, and what their parameters receive."""

import inspect

import pytest

from engine.agent_parameters import parameters_of
from engine.agents import AgentFunction, find_function, registering
from engine.build import agent_function


def whole(value):
    return value


def whole_with_step(value, *, step):
    return [value, step]


def by_name(topic, words=200):
    return [topic, words]


def by_name_with_step(topic, words, step):
    return [topic, words, step]


def anything(value, **more):
    return [value, more]


@pytest.mark.parametrize(
    ("function", "value", "answer"),
    [
        (whole, {"a": 1}, {"a": 1}),
        (whole_with_step, 1, [1, "the step"]),
        (by_name, {"topic": "tea"}, ["tea", 200]),
        (by_name_with_step, {"topic": 1, "words": 2}, [1, 2, "the step"]),
        (anything, 1, [1, {"step": "the step"}]),
        (len, "tea", 3),
        (dict.fromkeys, "a", {"a": None}),
    ],
)
def test_a_call_passes_what_was_decided_when_the_function_was_named(
    function, value, answer, monkeypatch
):
    made = AgentFunction(function, __name__, "here")
    monkeypatch.setattr(inspect, "signature", None)
    monkeypatch.setattr(inspect, "iscoroutinefunction", None)
    assert made.call(value, "the step") == answer


def test_the_parameters_of_a_function_can_be_asked_without_a_call():
    several = parameters_of(by_name_with_step)
    assert (several.whole, list(several.keys), several.step) == (
        None,
        ["topic", "words"],
        True,
    )
    one = parameters_of(whole)
    assert (one.whole.name, one.keys, one.step) == ("value", {}, False)
    assert parameters_of(lambda: 1).whole is None


def test_a_function_without_a_name_of_its_own_is_registered_by_its_path():
    @agent_function("own-name")
    def inner(value):
        return value

    assert find_function("own-name").function is inner
    assert agent_function(whole) is whole
    found = find_function(f"{__name__}:whole")
    assert found.call(3, None) == 3
    assert "test_agents.py:" in found.origin


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: agent_function(lambda value: value), "a lambda has no name"),
        (lambda: agent_function(_private), "is private"),
        (lambda: agent_function(_inner()), "defined inside another function"),
    ],
)
def test_what_no_worker_can_import_is_refused_at_once(make, rule):
    with pytest.raises(TypeError, match=rule), registering():
        make()


def _private(value):
    return value


def _inner():
    def function(value):
        return value

    return function
