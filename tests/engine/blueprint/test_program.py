"""Tests of engine/blueprint/program.py."""

import dataclasses

import orjson
import pytest

from engine.blueprint import Agent, Program, Retry, merge_init_ctx
from engine.flow.nodes import Step

FLOW = {
    "kind": "step",
    "ref": "greet",
    "in": {"op": "path", "at": "$.name"},
    "out": {"op": "path", "at": "$.greeting"},
}
AGENT = Agent(
    name="greet",
    kind="python_fn",
    queue="swarm.python_fn",
    timeout_ms=1_500,
    retry=Retry(max_attempts=3, never=("ValueError",)),
    spec={"fn_id": "greet"},
)
PROGRAM = Program("hello", FLOW, {"greet": AGENT}, {"name": "you"}, 60)


def test_a_program_survives_json_text_unchanged():
    text = orjson.dumps(PROGRAM.to_json())
    back = Program.from_json(orjson.loads(text))

    assert back == PROGRAM
    assert back.program_id == PROGRAM.program_id
    assert back.agents["greet"].retry.never == ("ValueError",)


def test_the_flow_is_parsed_once():
    assert isinstance(PROGRAM.flow, Step)
    assert PROGRAM.flow is PROGRAM.flow


def test_the_id_is_a_sha_256_of_the_content_whatever_the_order_of_keys():
    turned = Program(
        "hello", dict(reversed(FLOW.items())), {"greet": AGENT}, {"name": "you"}, 60
    )

    assert turned.program_id == PROGRAM.program_id
    assert len(PROGRAM.program_id) == 64


def test_another_policy_is_another_program():
    slower = dataclasses.replace(AGENT, timeout_ms=1_501)
    other = dataclasses.replace(PROGRAM, agents={"greet": slower})

    assert other.program_id != PROGRAM.program_id


def test_a_program_of_another_format_is_refused():
    with pytest.raises(ValueError, match="program format 1 can't be read, only 2"):
        Program.from_json({**PROGRAM.to_json(), "format": 1})


@pytest.mark.parametrize(
    ("tiers", "merged"),
    [
        ([], {}),
        ([None, None], {}),
        ([{"a": 1, "b": 1}, None, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"y": 2}}),
        ([{"a": 1}, [1]], [1]),
        ([[1], {"a": 1}], {"a": 1}),
    ],
)
def test_the_initial_ctx_is_merged_by_top_level_key(tiers, merged):
    assert merge_init_ctx(*tiers) == merged


def test_the_dialect_is_part_of_a_program_and_of_its_id():
    let = {"kind": "let", "at": "$.a[0]", "value": {"op": "lit", "value": 1}}
    program = Program("list", let, {}, dialect="swarm")
    assert program.flow.to_json() == let
    back = Program.from_json(orjson.loads(orjson.dumps(program.to_json())))
    assert (back, back.program_id) == (program, program.program_id)
    other = dataclasses.replace(PROGRAM, dialect="swarm")
    assert other.program_id != PROGRAM.program_id
    assert "dialect" not in PROGRAM.to_json()
