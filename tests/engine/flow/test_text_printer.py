"""Printing and reading texts are each other's inverse, for hostile expressions too."""

from typing import Any

import pytest
from flow_cases import same
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.flow import parse_expr, print_expr
from engine.flow.functions import FUNCTIONS
from engine.flow.path import swarm_path

Json = Any
BINARY = ["eq", "ne", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod"]
HOSTILE = [
    "", "a", "y", "and", "in", "not", "true", "null", "ctx", "op", "lit", "template",
    "object", "$", "$in", "$x", "$file", "a b", "a.b", "a-b", "0", "-1", "[0]", '"', "'",
    "\\", "\\n", "\\u0041", "\n", "\t", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "é",
    "größe", "ª", "²", "{", "}", "{{", "}}", "{$.a}", '"]', "']", "${", "😀", "\u0301a",
]  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=6
)
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 5.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.lists(TEXTS | st.integers(-999_999, 99_999), max_size=3)
PATHS = KEYS.map(lambda keys: str(swarm_path(keys)))
BINDERS = PATHS | st.sampled_from(["$", "$.y", "$.z", "$.y.z", "$.and", "$.ctx"])
LEAVES = (
    st.builds(lambda at: {"op": "path", "at": at}, PATHS | BINDERS)
    | st.builds(lambda value: {"op": "lit", "value": value}, VALUES)
)  # fmt: skip
ENTRIES = TEXTS.filter(lambda key: not key.startswith("$"))


def larger(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Return expressions of smaller ones, every operator among them."""
    many = st.lists(inner, max_size=3)
    each = {"in": inner, "as": BINDERS}

    def record(*ops: str, **fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        return st.fixed_dictionaries({"op": st.sampled_from(ops), **fields})

    calls = [
        record(
            one.name,
            args=st.lists(
                inner, min_size=one.least, max_size=one.most or one.least + 2
            ),
        )
        for one in FUNCTIONS.values()
    ]
    return st.one_of(
        record(*BINARY, lhs=inner, rhs=inner),
        record("not", "exists", "len", arg=inner),
        record("and", "or", args=many),
        record("in", needle=inner, haystack=inner),
        record("not", arg=record("in", needle=inner, haystack=inner)),
        record("call_extern", ref=TEXTS, args=many),
        record("default", arg=inner, fallback=inner),
        record("any", "all", "filter", cond=inner, **each),
        record("map", "sort_by", value=inner, **each),
        record("object", entries=st.dictionaries(ENTRIES, inner, max_size=3)),
        record("array", items=many),
        record("template", parts=many),
        st.one_of(calls),
    )


EXPRS = st.recursive(LEAVES, larger, max_leaves=8)


def check(tree: Json) -> None:
    expr = parse_expr(tree, "swarm")
    normal = expr.to_json()
    assert same(parse_expr(normal, "swarm").to_json(), normal)
    printed = print_expr(expr)
    again = parse_expr(printed, "swarm")
    assert same(again.to_json(), normal), printed
    assert print_expr(again) == printed


@given(EXPRS)
def test_text_and_tree_are_the_same_expression(tree: Json) -> None:
    check(tree)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, database=None)
@given(EXPRS)
def test_text_and_tree_are_the_same_expression_ten_thousand_times(tree: Json) -> None:
    check(tree)


@pytest.mark.parametrize("value", [{"$x": 1}, [[[[[[[[[[1]]]]]]]]]], {"a": [{"$": 0}]}])
def test_a_literal_that_is_no_constructor(value: Json) -> None:
    printed = print_expr(parse_expr({"lit": value}, "swarm"))
    assert printed.startswith("lit(")
    assert same(parse_expr(printed, "swarm").to_json(), {"op": "lit", "value": value})
