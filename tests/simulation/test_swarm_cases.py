"""The programs among the cases of the dialect end on the machine as they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checks import check_chords, check_empty, check_end, check_journal
from flow_cases import Host
from programs import agent, program
from store_boxes import Box, MemoryBox, RedisBox

from engine.ports import StepCall
from engine.run.layout import Layout
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
    found = program(given["node"], agents or {"f": agent("f")}, "swarm")

    def dispatch(ref: str, value: Any) -> Any:
        return Host(given["dispatch"])(ref, value)

    def attempt(call: StepCall) -> Any:
        return dispatch(call.agent.name, call.input)

    simulator = Simulator(
        box.store, box.pop, box.pass_time, {"quick": ScriptedSpawner(attempt)},
        seed=seed, chaos=chaos,
    )  # fmt: skip
    simulator.launch(found, given["ctx"])
    simulator.run()
    check_chords(box, Layout(found.flow))
    steps = check_end(simulator, found, given["ctx"], dispatch)
    simulator.settle_down()
    check_journal(simulator, steps)
    check_empty(box)


def test_there_are_programs_and_their_stubs_keep_no_count() -> None:
    assert len(CASES) > 60
    specs = [spec for case in CASES for spec in case["input"]["dispatch"].values()]
    assert not any(spec.keys() & {"seq", "script"} for spec in specs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_program_of_the_cases_ends_on_the_machine_as_it_should(case: Any) -> None:
    for seed, chaos in enumerate((CALM, ROUGH, ROUGH, ROUGH)):
        check_on(MemoryBox(), case, seed, chaos)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_program_of_the_cases_ends_on_a_server_as_it_should(
    case: Any, redis_socket: str
) -> None:
    box = RedisBox(redis_socket)
    check_on(box, case, 0, ROUGH)
    box.close()
