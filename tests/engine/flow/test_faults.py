"""All faults of a program are found at once, the one that reading reports among them."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.flow import FlowError, find_faults, parse_node

PROGRAM = {
    "kind": "seq",
    "children": [
        {"kind": "let", "at": "$.a", "value": {"op": "lit", "value": 1}},
        {
            "kind": "branch",
            "cond": {
                "op": "and",
                "args": [
                    {"op": "exists", "arg": {"op": "path", "at": "$.a"}},
                    {
                        "op": "lt",
                        "lhs": {"op": "path", "at": "$.a"},
                        "rhs": {"op": "lit", "value": 3},
                    },
                ],
            },
            "then": {"kind": "seq", "children": []},
            "else": {
                "kind": "loop",
                "counter": {"op": "path", "at": "$.n"},
                "cond": {"op": "path", "at": "$.go"},
                "max": 3,
                "body": {
                    "kind": "let",
                    "at": "$.b",
                    "value": {"op": "lit", "value": 2},
                },
            },
        },
    ],
}
JUNK = st.sampled_from(
    [None, 7, "x", "$.a b", [], [1, 2], {}, {"op": "plus"}, {"kind": "if"}]
)


def places_in(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys of all parts of a value."""
    keys = value if isinstance(value, dict) else range(len(value))
    found = []
    for key in keys:
        found.append((*trail, key))
        if isinstance(value[key], dict | list):
            found += places_in(value[key], (*trail, key))
    return found


def changed(trail: tuple[Any, ...], junk: Any, *, drop: bool) -> Any:
    """Return the program with another part, or without it."""
    program = copy.deepcopy(PROGRAM)
    at = program
    for key in trail[:-1]:
        at = at[key]
    if drop and isinstance(at, dict):
        at["extra"] = at.pop(trail[-1])
    else:
        at[trail[-1]] = junk
    return program


def fault_of(program: Any, dialect: Any) -> str:
    """Return the fault that reading reports, or an empty text."""
    try:
        parse_node(program, dialect)
    except FlowError as error:
        return str(error)
    return ""


@settings(max_examples=300, deadline=None)
@given(
    trail=st.sampled_from(places_in(PROGRAM)),
    junk=JUNK,
    drop=st.booleans(),
    dialect=st.sampled_from(["flow.ir", "swarm"]),
)
def test_the_fault_that_reading_reports_is_among_those_found(
    trail, junk, drop, dialect
):
    program = changed(trail, junk, drop=drop)
    found = [str(one) for one in find_faults(program, dialect)]
    reported = fault_of(program, dialect)
    assert reported in found if reported else found == []


@pytest.mark.parametrize("dialect", ["flow.ir", "swarm"])
def test_parts_beside_each_other_are_all_reported(dialect):
    program = {
        "kind": "seq",
        "children": [
            {"kind": "stp"},
            {"kind": "let", "at": "$.a", "value": {"op": "plus"}, "why": 1},
            {
                "kind": "branch",
                "cond": {"op": "and", "args": [{"op": "nand"}, {"op": "exists"}]},
                "then": {"kind": "seq"},
            },
        ],
    }
    places = [
        str(one).split(" ")[3].rstrip(":") for one in find_faults(program, dialect)
    ]
    assert sorted(places) == [
        "$.children[0].kind",
        "$.children[1]",
        "$.children[1].value.op",
        "$.children[2]",
        "$.children[2].cond.args[0].op",
        "$.children[2].cond.args[1]",
        "$.children[2].then",
    ]


@pytest.mark.parametrize("op", ["object", "array", "template", "upper", "and"])
def test_an_operator_without_its_fields_is_a_fault_and_no_crash(op):
    for field in ({}, {"entries": 1}, {"items": 1}, {"parts": 1}, {"args": 1}):
        program = {"kind": "let", "at": "$.a", "value": {"op": op, **field}}
        assert find_faults(program, "swarm")


def test_a_faulty_select_is_not_missing_as_well():
    fanout = {
        "kind": "fanout",
        "items": "$.xs",
        "bind": "$.x",
        "body": {"kind": "let", "at": "$.y", "value": "$.x"},
        "join": "all",
        "out": "$.ys",
    }
    [fault] = find_faults({**fanout, "select": "$.y =="}, "swarm")
    assert str(fault).startswith("parse error at $.select: column ")
    [fault] = find_faults(fanout, "swarm")
    assert "missing field 'select'" in str(fault)


def test_a_field_that_is_misspelt_is_not_missing_as_well():
    program = {"kind": "let", "at": "$.a", "valu": {"op": "lit", "value": 1}}
    [fault] = find_faults(program)
    assert "unknown field 'valu'" in str(fault)
