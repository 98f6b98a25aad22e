"""A single edit of a random flow is exactly that one change."""

import copy
import random

import pytest
from flow_edits import Editor, blueprint, nodes_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.blueprint.comparison import Previous, compare, identify

EDITS = ("added", "removed", "moved", "renamed", "changed")
UNDONE = {"added": "removed", "removed": "added"}
edited = settings(max_examples=200, deadline=None)
seeds = st.integers(0, 2**32)


@pytest.mark.slow
@edited
@given(seed=seeds, how=st.sampled_from(EDITS))
def test_one_edit_is_one_change_and_so_is_taking_it_back(seed: int, how: str) -> None:
    editor = Editor(random.Random(seed))
    flow = editor.list_of(3)
    after = editor.edited(flow, how)
    assume(after is not None and after != flow)
    old, new = blueprint(flow), blueprint(after)
    for first, second, what in ((old, new, how), (new, old, UNDONE.get(how, how))):
        found = compare(first, second).changes
        assert [(one.what, one.of) for one in found] == [(what, "node")], found
    [change] = compare(old, new).changes
    count = sum(1 for _ in nodes_of(after)) - sum(1 for _ in nodes_of(flow))
    assert abs(count) == change.inside + 1 or how not in UNDONE
    assert len(change.fields) == (how == "changed")


@pytest.mark.slow
@edited
@given(seed=seeds, hows=st.lists(st.sampled_from(EDITS), max_size=6))
def test_identities_go_through_a_history(seed: int, hows: list[str]) -> None:
    editor = Editor(random.Random(seed))
    flow = editor.list_of(3)
    document = blueprint(flow)
    previous = Previous(document, identify(document))
    for how in hows:
        flow = editor.edited(flow, how) or flow
        document = blueprint(flow)
        ids = identify(document, previous)
        assert ids == identify(copy.deepcopy(document), previous)
        assert len(set(ids.values())) == len(ids) == sum(1 for _ in nodes_of(flow))
        kept = set(ids.values()) & set(previous.identities.values())
        found = compare(
            previous.document,
            document,
            old_identities=previous.identities,
            new_identities=ids,
        ).changes
        assert len(found) <= 1, found
        gone = sum(one.inside + 1 for one in found if one.what == "removed")
        assert len(kept) == len(previous.identities) - gone
        previous = Previous(document, ids)


@edited
@given(seed=seeds, hows=st.lists(st.sampled_from(EDITS), max_size=4))
def test_a_document_is_no_change_of_itself(seed: int, hows: list[str]) -> None:
    editor = Editor(random.Random(seed))
    flow = editor.list_of(3)
    for how in hows:
        flow = editor.edited(flow, how) or flow
    found = compare(blueprint(flow), copy.deepcopy(blueprint(flow)))
    assert (found.changes, found.text) == ((), "")


@pytest.mark.parametrize("others", [3, 40, 300])
def test_a_step_inserted_before_others_is_one_added_node(others: int) -> None:
    old, new = steps(*range(others)), steps(9999, *range(others))
    [change] = compare(old, new).changes
    assert (change.what, change.new_place) == ("added", "$.flow.children[0]")


@pytest.mark.parametrize("others", [3, 40, 300])
def test_a_step_dragged_from_first_to_last_is_one_moved_node(others: int) -> None:
    old, new = steps(*range(others)), steps(*range(1, others), 0)
    [change] = compare(old, new).changes
    places = ("$.flow.children[0]", f"$.flow.children[{others - 1}]")
    assert (change.what, change.old_place, change.new_place) == ("moved", *places)


@pytest.mark.parametrize("others", [3, 40])
def test_so_it_is_among_steps_that_are_equal(others: int) -> None:
    """Of equal ones nothing tells which is which, so any of them may be the one."""
    same = [one % 2 for one in range(others)]
    assert whats(steps(*same, 5), steps(5, *same)) == ["moved"]
    assert whats(steps(*same), steps(*same[:-1])) == ["removed"]
    assert whats(steps(*same), steps(*same[:2], 0, *same[2:])) == ["added"]


def whats(old: object, new: object) -> list[str]:
    return [one.what for one in compare(old, new).changes]


def steps(*numbers: int) -> object:
    children = [
        {"kind": "step", "agent": "writer", "in": "$.a", "out": f"$.a{one}"}
        for one in numbers
    ]
    return blueprint({"kind": "seq", "children": children})
