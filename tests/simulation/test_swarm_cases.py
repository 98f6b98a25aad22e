"""The programs among the cases of the dialect end on the machine as they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flow_cases import Host
from random_programs import agent, program
from simulation_checks import check_chords, check_empty, check_end, check_journal
from store_boxes import Box

from engine.flow import parse_node
from engine.ports import StepCall
from engine.run.chain.layout import Layout
from engine.testing import CALM, Chaos, ScriptedSpawner, Simulator

FOLDER = Path(__file__).parents[1] / "cases" / "flow_swarm"
CASES = [
    case
    for file in sorted(FOLDER.glob("*.json"))
    for case in json.loads(file.read_text(encoding="utf-8"))
    if case["kind"] == "node"
]
ROUGH = Chaos(double=0.2, drop=0.1, lost_reply=0.2, interleave=0.3)


def check_on(box: Box, case: Any, seed: int, chaos: Chaos) -> None:
    given = case["input"]
    agents = {ref: agent(ref) for ref in given["dispatch"]}
    flow = parse_node(given["node"], "swarm").to_json()
    found = program(flow, agents or {"f": agent("f")}, "swarm")

    def dispatch(ref: str, value: Any) -> Any:
        return Host(given["dispatch"])(ref, value)

    def attempt(call: StepCall) -> Any:
        return dispatch(call.agent.name, call.input)

    simulator = Simulator(
        box.store, {"quick": ScriptedSpawner(attempt)}, seed=seed, chaos=chaos,
    )  # fmt: skip
    simulator.launch(found, given["ctx"])
    simulator.run()
    view = box.view("R-1")
    assert view is not None
    check_chords(view, Layout(found.flow))
    steps = check_end(simulator, found, given["ctx"], dispatch)
    simulator.settle_down()
    check_journal(simulator, steps)
    check_empty(box)


def test_there_are_programs_and_their_stubs_keep_no_count() -> None:
    assert len(CASES) > 60
    specs = [spec for case in CASES for spec in case["input"]["dispatch"].values()]
    assert not any(spec.keys() & {"seq", "script"} for spec in specs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_program_of_the_cases_ends_on_the_machine_as_it_should(
    case: Any, box: Box
) -> None:
    for seed, chaos in enumerate((CALM, ROUGH, ROUGH, ROUGH, ROUGH)):
        box.empty()
        check_on(box, case, seed, chaos)
