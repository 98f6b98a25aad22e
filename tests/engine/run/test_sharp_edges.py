"""The edges of docs/sharp-edges.md that show in a run, by their ids."""

from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq, step
from random_programs import program, spawners
from simulated_runs import ended

from engine.flow import FlowError, evaluate, parse_node
from workers.pytest_plugin import MakeSimulator

INC = step("inc", at("$.a"), "$.a")


def test_f4_a_path_that_leads_nowhere_is_an_error_unless_it_is_guarded(
    swarm_simulator: MakeSimulator,
) -> None:
    equal = {"op": "eq", "lhs": at("$.v"), "rhs": lit("redo")}
    guarded = {"op": "and", "args": [{"op": "exists", "arg": at("$.v")}, equal]}
    nobody = parse_node(let("$.x", equal))
    with pytest.raises(FlowError, match=r"path not found: \$\.v"):
        evaluate(nobody, {}, lambda *_: None)
    assert ended(swarm_simulator, let("$.x", guarded), {}).final() == {"x": False}
    default = {"op": "default", "arg": at("$.v"), "fallback": lit("redo")}
    flow = let("$.x", {**equal, "lhs": default})
    assert evaluate(parse_node(flow, "swarm"), {}, lambda *_: None) == {"x": True}


def test_f20_a_run_that_fails_keeps_what_its_steps_gave(
    swarm_simulator: MakeSimulator,
) -> None:
    made = ended(swarm_simulator, seq(INC, INC, let("$.x", at("$.gone"))))
    assert made.error() == ["PathNotFound", "path not found: $.gone"]
    passed = [event for event in made.events() if event[0] == "passed"]
    assert passed == [
        ["passed", "/children/0", 1, "inc", 2],
        ["passed", "/children/1", 1, "inc", 3],
    ]
    # The Ctx as it was: it becomes the run's result, which `run` prints.
    assert made.final() == {"a": 3}


def test_f13_what_is_to_outlive_a_failure_is_caught_outside_of_it(
    swarm_simulator: MakeSimulator,
) -> None:
    fails = let("$.x", at("$.gone"))
    inside = {
        "kind": "try", "body": seq(INC, fails), "catch": seq(), "err_at": at("$.e"),
    }  # fmt: skip
    assert ended(swarm_simulator, inside).final() == {
        "a": 1,
        "e": "path not found: $.gone",
    }
    outside = seq(INC, {**inside, "body": fails})
    assert ended(swarm_simulator, outside).final() == {
        "a": 2,
        "e": "path not found: $.gone",
    }


@pytest.mark.parametrize(
    ("join", "out"),
    [("any", {"item": 1}), ("race", {"item": 1})],
)
def test_f10_a_lane_that_ends_first_decides_and_not_its_number(
    swarm_simulator: MakeSimulator, join: str, out: Any
) -> None:
    # The first lane waits for a retry, and the second has ended meanwhile.
    slow = {
        "kind": "branch", "cond": {"op": "lt", "lhs": at("$.item"), "rhs": lit(2)},
        "then": seq(), "else": step("later", at("$.item"), "$.x"),
    }  # fmt: skip
    made = swarm_simulator(spawners())
    made.launch(program(fanout(lit([3, 1]), slow, join)), {})
    made.run()
    assert made.final() == {"out": out}
