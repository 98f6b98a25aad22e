"""The names of steps for their places, and the places for their names."""

from __future__ import annotations

from typing import Any

import pytest
from flow_documents import at, fanout, lit, seq, step
from simulated_runs import ended

from engine.flow import read_node
from engine.run.place_names import PlaceNames
from workers.pytest_plugin import MakeSimulator


def named(name: str) -> Any:
    return step("inc", at("$.a"), "$.a") | {"name": name}


def loop(body: Any) -> Any:
    return {
        "kind": "loop", "counter": at("$.n"), "cond": lit(True), "max": 2, "body": body,
    }  # fmt: skip


def attempt(body: Any, catch: Any) -> Any:
    return {"kind": "try", "body": body, "catch": catch, "err_at": None}


FLOW = seq(
    named("first"),
    step("inc", at("$.a"), "$.a"),
    loop(seq(named("again"), loop(named("deep")))),
    fanout(lit([1, 2]), named("lane's own"), select=at("$.a")),
    fanout(lit([1]), seq(loop(named("ünder")), fanout(lit([1]), named("both")))),
    attempt(named("tried"), named("caught")),
    loop(fanout(lit([1, 2]), named("each"))),
)
NAMES = {
    "/children/0": "first",
    "/children/2/body[1]/children/0": "again[1]",
    "/children/2/body[1]/children/1/body[12]": "deep[1, 12]",
    "/children/3/lane[800]": "lane's own[lane 800]",
    "/children/4/lane[0]/children/0/body[3]": "ünder[lane 0, 3]",
    "/children/4/lane[0]/children/1/lane[7]": "both[lane 0, lane 7]",
    "/children/5/body": "tried",
    "/children/5/catch": "caught",
    "/children/6/body[0]/lane[1]": "each[0, lane 1]",
}


@pytest.fixture(scope="module")
def names() -> PlaceNames:
    return PlaceNames(read_node(FLOW, "swarm"))


@pytest.mark.parametrize(("place", "name"), NAMES.items())
def test_a_place_has_the_name_of_its_step(
    names: PlaceNames, place: str, name: str
) -> None:
    assert names.name(place) == name
    assert names.find(name) == place


def test_every_other_place_is_shown_itself(names: PlaceNames) -> None:
    for place in (
        "",
        "/children/1",
        "/children/3",
        "/children/2",
        "/children/6/body[0]",
    ):
        assert names.name(place) == place


def test_a_name_without_its_visit_stands_for_all_of_them(names: PlaceNames) -> None:
    assert names.find("deep") == "/children/2/body[*]/children/1/body[*]"
    assert names.find("each") == "/children/6/body[*]/lane[*]"
    assert names.places["first"] == "/children/0" == names.find("first")


@pytest.mark.parametrize(
    "text",
    ["", "nobody", "again[lane 1]", "again[1, 2]", "again[x]", "again[]", "again[01",
     "first[0]", "deep[1]", "each[lane 1, 0]", "/children/0", "again[*]"],
)  # fmt: skip
def test_a_text_that_is_no_name_has_no_place(names: PlaceNames, text: str) -> None:
    assert names.find(text) is None


def test_the_steps_of_a_run_have_the_names_of_its_program(
    names: PlaceNames, swarm_simulator: MakeSimulator
) -> None:
    made = ended(swarm_simulator, FLOW, {"a": 0}, dialect="swarm")
    shown = {names.name(event[1]) for event in made.events() if event[0] == "pending"}
    assert {"first", "/children/1", "deep[1, 0]", "each[1, lane 0]", "tried"} <= shown
    assert "caught" not in shown
