"""Blame names the version that last changed a node's own fields, or an agent."""

from collections.abc import Iterator
from typing import Any

import pytest
from flow_edits import blueprint

from engine.blueprint.comparison import Blame, Previous, Version, blame, identify


def step(name: str, value: str = "$.a", out: str = "$.b") -> Any:
    return {"kind": "step", "name": name, "agent": "w", "in": value, "out": out}


def document(*children: Any, timeout: str = "1s") -> Any:
    flow = {"kind": "seq", "children": list(children)}
    writer = {"name": "w", "kind": "lua", "timeout": timeout}
    return blueprint(flow, agents=[writer, {"name": "other", "kind": "lua"}])


HISTORY = [
    document(step("a"), step("b")),
    document(step("a"), step("b"), timeout="2s"),
    document(step("b"), step("a", "$.x"), timeout="2s"),
    document(step("b"), step("c"), step("a", "$.x"), timeout="2s"),
    document(
        step("b2"), step("c"), step("a", {"op": "path", "at": "$.x"}), timeout="2s"
    ),
]
BLAMED = Blame(
    {
        "$.flow": "0",
        "$.flow.children[0]": "4",
        "$.flow.children[1]": "3",
        "$.flow.children[2]": "2",
    },
    {"w": "1", "other": "0"},
)


def versions(*, stored: bool) -> Iterator[Version]:
    """Yield the history, the newest first."""
    kept: list[Version] = []
    previous = None
    for n, one in enumerate(HISTORY):
        ids = identify(one, previous)
        previous = Previous(one, ids)
        kept.append(Version(str(n), one, ids if stored else None))
    yield from reversed(kept)


@pytest.mark.parametrize("stored", [True, False])
def test_moves_children_and_spelling_are_no_change(stored: bool) -> None:
    assert blame(versions(stored=stored)) == BLAMED


def test_a_history_is_read_no_further_than_needed() -> None:
    def history() -> Iterator[Version]:
        yield Version("2", {"flow": step("z", "$.q", "$.p")})
        yield Version("1", {"flow": {"kind": "let", "at": "$.a", "value": 1}})
        raise AssertionError("there was nothing left to find")

    assert blame(history()) == Blame({"$.flow": "2"}, {})


def test_of_one_version_and_of_none() -> None:
    assert blame([]) == Blame({}, {})
    found = blame([Version("only", HISTORY[0])])
    assert {*found.nodes.values(), *found.agents.values()} == {"only"}
