"""Random JSON values, paths, expressions and programs for the tests of the language."""

from typing import Any

import pytest
from hypothesis import strategies as st

Json = Any
KEYS = ["a", "b", "n", "k.v"]
PATHS = ["$", "ctx", "$.a", "$.b", "ctx.a.b", "$.n", '$["k.v"].a', "$.a.b.n"]
BINARY = ["eq", "ne", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod"]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3, width=16)
    | st.sampled_from(["", "a", "é"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
PATH_EXPRS = st.fixed_dictionaries(
    {"op": st.just("path"), "at": st.sampled_from(PATHS)}
)
LEAVES = PATH_EXPRS | st.fixed_dictionaries({"op": st.just("lit"), "value": VALUES})


def _larger_expr(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    fields = st.fixed_dictionaries
    return st.one_of(
        fields({"op": st.sampled_from(BINARY), "lhs": inner, "rhs": inner}),
        fields({"op": st.sampled_from(["not", "exists", "len"]), "arg": inner}),
        fields(
            {"op": st.sampled_from(["and", "or"]), "args": st.lists(inner, max_size=3)}
        ),
        fields({"op": st.just("in"), "needle": inner, "haystack": inner}),
        fields(
            {
                "op": st.just("call_extern"),
                "ref": st.sampled_from(["list", "keep", "absent"]),
                "args": st.lists(inner, max_size=2),
            }
        ),
    )


EXPRS = st.recursive(LEAVES, _larger_expr, max_leaves=4)
TARGETS = st.sampled_from(range(10)).flatmap(lambda n: EXPRS if n == 0 else PATH_EXPRS)
SIMPLE_NODES = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("let"), "at": st.sampled_from(PATHS), "value": EXPRS}
    ),
    st.fixed_dictionaries({"kind": st.just("assign"), "at": TARGETS, "value": EXPRS}),
    st.fixed_dictionaries(
        {
            "kind": st.just("step"),
            "ref": st.sampled_from(["echo", "fail", "same"]),
            "in": EXPRS,
            "out": TARGETS,
        }
    ),
)


def _larger_node(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    items = EXPRS | st.fixed_dictionaries(
        {"op": st.just("lit"), "value": st.lists(VALUES, max_size=3)}
    )
    join = st.sampled_from(["all", "any", "race", "all_settled"])
    body = {"body": inner}
    return st.one_of(
        st.fixed_dictionaries(
            {"kind": st.just("seq"), "children": st.lists(inner, max_size=4)}
        ),
        st.fixed_dictionaries(
            {"kind": st.just("branch"), "cond": EXPRS, "then": inner, "else": inner}
        ),
        st.fixed_dictionaries(
            {"kind": st.just("try"), "catch": inner, "err_at": st.none() | TARGETS}
            | body
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("loop"),
                "counter": TARGETS,
                "cond": EXPRS,
                "max": st.integers(0, 3),
            }
            | body
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("fanout"),
                "items": items,
                "bind": TARGETS,
                "join": join,
                "out": TARGETS,
            }
            | body
        ),
    )


NODES = st.recursive(SIMPLE_NODES, _larger_node, max_leaves=8)


@pytest.fixture(scope="session")
def json_values() -> st.SearchStrategy[Json]:
    """Small JSON values of every type."""
    return VALUES


@pytest.fixture(scope="session")
def path_texts() -> st.SearchStrategy[str]:
    """Paths that often name a place of the small JSON values."""
    return st.sampled_from(PATHS)


@pytest.fixture(scope="session")
def expr_programs() -> st.SearchStrategy[Json]:
    """Expressions as JSON."""
    return EXPRS


@pytest.fixture(scope="session")
def node_programs() -> st.SearchStrategy[Json]:
    """Programs as JSON."""
    return NODES
