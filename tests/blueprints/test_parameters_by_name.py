"""Functions with several parameters get the keys of their input by name."""

import pytest

from engine.agent_inputs import InputRefused, input_check
from engine.agents import AgentFunction


def draft(topic: str, words: int = 200):
    return f"{words} words about {topic}"


def draft_with_step(topic, words, *, step):
    return [topic, words, step]


def whole(value, *, step):
    return [value, step]


def called(function, value, step=None):
    made = AgentFunction(function, __name__, "here")
    check = input_check(made)
    checked = value if check is None else check(value)
    return made.call(checked, step)


def test_keys_are_passed_by_name():
    assert called(draft, {"words": 3, "topic": "tea"}) == "3 words about tea"
    assert called(draft, {"topic": "tea"}) == "200 words about tea"
    given = {"topic": 1, "words": 2}
    assert called(draft_with_step, given, "the step") == [1, 2, "the step"]


def test_one_parameter_gets_the_whole_input():
    assert called(whole, {"value": 1}, "the step") == [{"value": 1}, "the step"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("tea", r"^\$: expected an object with the keys topic, words$"),
        ({"words": 3}, r"^\$\.topic: the key is missing$"),
        ({"topic": "tea", "wrods": 3}, r"^\$\.wrods: .*did you mean 'words'\?$"),
        (
            {"topic": "tea", "words": "3"},
            r"^\$\.words: Input should be a valid integer$",
        ),
    ],
)
def test_an_input_that_does_not_fit_names_the_key(value, rule):
    with pytest.raises(InputRefused, match=rule):
        called(draft, value)
