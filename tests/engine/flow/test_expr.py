"""Expressions: numbers, truth, comparison, order of evaluation, externs."""

import contextlib
import math
from typing import Any

import pytest
from flow_documents import lit
from flow_errors import flow_error
from hypothesis import given
from hypothesis import strategies as st

from engine.flow import FlowError, evaluate_expr, parse_expr
from engine.flow.errors import path_not_found
from engine.flow.values import json_equal

Json = Any
MISSING = {"op": "path", "at": "$.missing"}


def two(op: str, lhs: Json, rhs: Json) -> Json:
    return {"op": op, "lhs": lit(lhs), "rhs": lit(rhs)}


def value_of(program: Json, ctx: Json = None, externs: Json = None) -> Json:
    return evaluate_expr(parse_expr(program), ctx, externs)


def error_of(program: Json, externs: Json = None) -> str:
    error = flow_error(value_of, program, {}, externs)
    return f"{error.kind}: {error}"


@pytest.mark.parametrize(
    ("op", "lhs", "rhs", "result"),
    [
        ("add", 2, 3, 5.0),
        ("add", 2**53 + 1, 0, float(2**53)),
        ("mul", 0, -1, -0.0),
        ("div", 7, 2, 3.5),
        ("mod", -7, 3, 2.0),
        ("mod", 5.5, 0.1, 0.0),
        ("mod", 6, -3, 0.0),
        ("mod", 0, -3, 0.0),
        ("mod", -0.0, 3, 0.0),
        ("mod", -1e-20, 3, 3.0),
        ("mod", 1e16, 3, 0.0),
    ],
)
def test_arithmetic_is_done_in_doubles(
    op: str, lhs: float, rhs: float, result: float
) -> None:
    got = value_of(two(op, lhs, rhs))
    assert type(got) is float
    assert (got, math.copysign(1, got)) == (result, math.copysign(1, result))


@pytest.mark.parametrize(
    ("op", "lhs", "rhs", "why"),
    [
        ("div", 1, -0.0, "arithmetic failure (e.g. division by zero)"),
        ("mod", 1, 0, "arithmetic failure (e.g. division by zero)"),
        ("mul", -1e308, 10, "result not f64-representable: -inf"),
        ("div", 1e308, 1e-308, "result not f64-representable: inf"),
        ("mod", 1e308, 1e-308, "result not f64-representable: -inf"),
        ("add", 10**400, 1, "result not f64-representable: inf"),
        ("sub", 10**400, 10**400, "result not f64-representable: NaN"),
    ],
)
def test_a_result_is_finite_or_an_error(
    op: str, lhs: float, rhs: float, why: str
) -> None:
    assert (
        error_of(two(op, lhs, rhs)) == f"ArithError: arithmetic error in '{op}': {why}"
    )


def test_a_boolean_is_no_number() -> None:
    shown = error_of(two("add", True, 1))
    assert shown == "TypeError: type error in 'add': expected number, got true"
    assert value_of(two("eq", True, 1)) is False
    assert value_of(two("eq", [[False]], [[0]])) is False


def test_numbers_are_equal_as_doubles_at_any_depth() -> None:
    assert value_of(two("eq", {"a": [2**53 + 1]}, {"a": [float(2**53)]})) is True
    assert value_of(two("lt", 2**53, 2**53 + 1)) is False
    assert value_of(two("eq", 0.0, -0.0)) is True


@pytest.mark.parametrize("pair", [(None, None), (True, False), ([1], [1]), ("a", 1)])
def test_only_two_numbers_or_two_strings_have_an_order(pair: tuple[Json, Json]) -> None:
    assert "both sides must be numbers or strings" in error_of(two("lt", *pair))


def test_strings_are_ordered_by_code_point() -> None:
    assert value_of(two("lt", "10", "9")) is True
    assert value_of(two("gt", "😀", "\uffee")) is True


def test_only_null_and_false_are_false() -> None:
    value: Json
    for value in (0, 0.0, "", [], {}):
        assert value_of({"op": "not", "arg": lit(value)}) is False
    for value in (None, False):
        assert value_of({"op": "not", "arg": lit(value)}) is True


def test_and_and_or_stop_early_and_give_booleans() -> None:
    assert value_of({"op": "and", "args": []}) is True
    assert value_of({"op": "or", "args": []}) is False
    assert value_of({"op": "and", "args": [lit(1), lit("x")]}) is True
    assert value_of({"op": "and", "args": [lit(None), MISSING]}, {}) is False
    assert value_of({"op": "or", "args": [lit(0), MISSING]}, {}) is True


def test_operands_come_before_type_checks() -> None:
    program = {"op": "add", "lhs": lit("x"), "rhs": MISSING}
    assert error_of(program).startswith("PathNotFound")


def test_exists_swallows_a_missing_path_from_anywhere_inside() -> None:
    def exists(arg: Json) -> Json:
        return {"op": "exists", "arg": arg}

    assert value_of(exists({"op": "not", "arg": MISSING}), {}) is False
    assert value_of(exists(exists(MISSING)), {}) is True
    assert value_of(exists(lit(None))) is False
    assert value_of(exists(lit(False))) is True
    assert error_of(exists(two("add", "x", 1))).startswith("TypeError")


def test_len_counts_code_points_items_and_keys() -> None:
    for value, count in (("é😀", 2), ([1, 2], 2), ({}, 0)):
        assert value_of({"op": "len", "arg": lit(value)}) == count
    assert "len: unsupported type null" in error_of({"op": "len", "arg": lit(None)})


def test_in_finds_equal_items_of_an_array_only() -> None:
    def within(needle: Json, haystack: Json) -> Json:
        return {"op": "in", "needle": lit(needle), "haystack": lit(haystack)}

    assert value_of(within([1], [[1.0]])) is True
    assert value_of(within(True, [1])) is False
    assert 'haystack must be array, got "abc"' in error_of(within("a", "abc"))


def test_an_extern_takes_a_list_of_values() -> None:
    call = {"op": "call_extern", "ref": "f", "args": [lit(1), lit(2)]}
    assert value_of(call, {}, {"f": lambda values: values[::-1]}) == [2, 1]


def test_what_an_extern_raises_becomes_an_extern_error() -> None:
    def broken(values: list[Json]) -> Json:
        raise ValueError("boom")

    def missing(values: list[Json]) -> Json:
        raise path_not_found("$.x")

    call = {"op": "call_extern", "ref": "f", "args": []}
    shown = error_of(call, {"f": broken})
    assert shown == "ExternError: extern error for ref 'f': boom"
    assert error_of(call, {"f": missing}) == "PathNotFound: path not found: $.x"
    assert error_of(call, {}).endswith("not registered in externs")
    assert error_of(call, None).endswith("no externs registry configured")


def test_values_of_any_nesting_can_be_compared() -> None:
    a: Json = 1
    b: Json = 1.0
    for _ in range(20_000):
        a, b = [a], [b]
    assert json_equal(a, b)
    assert not json_equal(a, [b])


@given(data=st.data())
def test_an_expression_never_changes_its_context(
    data: st.DataObject, json_values: Json, programs: Any
) -> None:
    ctx, program = data.draw(json_values), data.draw(programs.exprs)
    before = repr((ctx, program))
    expr = parse_expr(program, programs.dialect)
    with contextlib.suppress(FlowError):
        evaluate_expr(expr, ctx, {"list": lambda values: values, "keep": len})
    assert repr((ctx, program)) == before


@given(data=st.data())
def test_equality_is_symmetric(data: st.DataObject, json_values: Json) -> None:
    a, b = data.draw(json_values), data.draw(json_values)
    assert json_equal(a, b) is json_equal(b, a)
    assert json_equal(a, a)
