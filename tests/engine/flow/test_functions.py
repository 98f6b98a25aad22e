"""Functions and constructors: total on any values, bounded on hostile ones, no change."""

import copy
import time
import tracemalloc
from itertools import product
from typing import Any

import pytest
from flow_documents import at, lit
from flow_errors import flow_error
from hypothesis import given
from hypothesis import strategies as st

from engine.flow import Document, FlowError, allowance, evaluate_expr, parse_expr
from engine.flow.functions import FUNCTIONS
from engine.flow.json_text import find_fault

Json = Any
MIB = 1 << 20
ELEMENTS = 100_000
SECONDS = 10.0
MEMORY = 100 * MIB

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 1e16, 2.0])
    | st.text(max_size=6)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)

texts = st.text(max_size=6) | st.sampled_from([" 7\n", "1e999", "ß", "a,b"])
arrays = (
    st.lists(values, max_size=4)
    | st.lists(st.integers(0, 3), min_size=1, max_size=4)
    | st.lists(texts, min_size=1, max_size=4)
)
objects = st.dictionaries(st.text(max_size=2), values, max_size=3)
integers = st.integers(-3, 3) | st.sampled_from([0.0, 2.0])
GOOD: dict[str, Any] = {
    "any": values, "string": texts, "integer": integers, "array": arrays,
    "object": objects, "string or array": texts | arrays,
    "object or array": objects | arrays, "string or integer": integers | texts,
    "string or number": texts | integers,
}  # fmt: skip


def call(name: str, *args: Json) -> Json:
    return {"op": name, "args": list(args)}


def array(*items: Json) -> Json:
    return {"op": "array", "items": list(items)}


def loop(op: str, items: Json, inner: Json, bind: str = "$.x") -> Json:
    field = "value" if op in ("map", "sort_by") else "cond"
    return {"op": op, "in": items, "as": bind, field: inner}


def run(tree: Json, ctx: Json) -> Json:
    return evaluate_expr(parse_expr(tree, "swarm"), ctx)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_total_and_changes_nothing(name: str) -> None:
    function = FUNCTIONS[name]
    kinds = [GOOD[one.type] | values for one in function.parameters]

    @given(st.tuples(*kinds).map(list))
    def check(given: list[Json]) -> None:
        ctx = {"args": copy.deepcopy(given)}
        args = [at(f"$.args[{number}]") for number in range(len(given))]
        for _ in range(2):
            try:
                results.append(run(call(name, *args), ctx))
            except FlowError as error:
                errors.append(error)
        assert repr(ctx) == repr({"args": given})

    results: list[Json] = []
    errors: list[FlowError] = []
    check()
    assert results
    assert not any(map(find_fault, results))
    assert {one.kind for one in errors} <= {"TypeError", "PathNotFound", "ArithError"}
    assert all(name in str(one) for one in errors)


def big(count: int = 30_000) -> Json:
    return list(range(count))


X = at("$.x")
TEXT = at("$.text")
RANGE = call("range", lit(0), lit(90_000))
TENS = call("range", lit(0), lit(10))
HUNDRED = call("range", lit(0), lit(100))


def doubled(depth: int, of: Json) -> Json:
    """Bind `[x, x]` again and again: 2^depth parts that are one part in memory."""
    for _ in range(depth):
        of = loop("map", array(of), array(X, X))
    return of


def grown(depth: int, text: Json) -> Json:
    for _ in range(depth):
        text = call("replace", text, lit("a"), lit("aaaaaaaaaa"))
    return text


HOSTILE: dict[str, Json] = {
    "range": call("range", lit(0), lit(1e9)),
    "ranges beside each other": array(*[RANGE] * 50),
    "ranges under old operators": {"op": "eq", "lhs": RANGE, "rhs": {"op": "eq", "lhs": RANGE, "rhs": RANGE}},
    "ranges in a loop": loop("map", TENS, RANGE),
    "replace": grown(9, lit("a")),
    "join": call("join", loop("map", RANGE, TEXT), lit("")),
    "long separators": call("join", loop("map", RANGE, lit("")), TEXT),
    "template": {"op": "template", "parts": [TEXT] * 20},
    "templates in a loop": loop("map", RANGE, {"op": "template", "parts": [TEXT, TEXT]}),
    "upper in a loop": loop("map", RANGE, call("upper", TEXT)),
    "split": call("split", TEXT, lit("")),
    "split in a loop": loop("map", RANGE, call("split", TEXT, lit("a"))),
    "contains in a loop": loop("any", RANGE, call("contains", TEXT, lit("b"))),
    "equal texts in a loop": loop("any", RANGE, {"op": "eq", "lhs": TEXT, "rhs": at("$.same")}),
    "equal arrays in a loop": loop("all", RANGE, {"op": "eq", "lhs": at("$.xs"), "rhs": at("$.ys")}),
    "in an array in a loop": loop("any", RANGE, {"op": "in", "needle": lit("z"), "haystack": at("$.deep")}),
    "arrays in a loop": loop("map", RANGE, array(*[X] * 1000)),
    "objects in a loop": loop("map", RANGE, {"op": "object", "entries": {str(n): X for n in range(1000)}}),
    "merge in a loop": loop("map", RANGE, call("merge", at("$.wide"))),
    "keys in a loop": loop("map", RANGE, call("keys", at("$.wide"))),
    "slices in a loop": loop("map", RANGE, call("slice", at("$.xs"), lit(0))),
    "slices of text in a loop": loop("map", RANGE, call("slice", TEXT, lit(1))),
    "sort in a loop": loop("map", RANGE, call("sort", at("$.xs"))),
    "sort of long texts": call("sort", loop("map", RANGE, call("get", array(TEXT, at("$.same")), {"op": "mod", "lhs": X, "rhs": lit(2)}))),
    "loops in loops": loop("any", RANGE, loop("any", RANGE, lit(False), "$.y")),
    "a wide document in inner loops": loop("any", RANGE, loop("any", lit([1]), lit(False), "$.wide.y")),
    "to_string of shared parts": call("to_string", doubled(40, lit([0]))),
    "template of shared parts": {"op": "template", "parts": [doubled(40, TEXT)]},
    "unique of shared parts": call("unique", doubled(40, lit([0]))),
    "equal shared parts": loop("any", TENS, {"op": "eq", "lhs": doubled(40, lit([0])), "rhs": doubled(40, lit([0]))}, "$.z"),
    "a shared part in an error": {"op": "add", "lhs": doubled(40, TEXT), "rhs": lit(1)},
    "order of long texts in a loop": loop("all", HUNDRED, {"op": "lt", "lhs": TEXT, "rhs": at("$.same")}),
    "long keys in a loop": loop("map", HUNDRED, call("keys", at("$.long"))),
    "values of long keys in a loop": loop("map", HUNDRED, call("values", at("$.long"))),
    "equal long keys in a loop": loop("all", HUNDRED, {"op": "eq", "lhs": at("$.long"), "rhs": at("$.long_too")}),
    "keys of which one differs in a loop": loop("all", HUNDRED, {"op": "ne", "lhs": at("$.wide"), "rhs": at("$.wider")}),
    "merge of long keys in a loop": loop("map", HUNDRED, call("merge", at("$.long"), at("$.long_too"))),
    "unique of long keys in a loop": loop("map", HUNDRED, call("unique", array(at("$.long"), at("$.long_too")))),
    "get with a long key in a loop": loop("map", HUNDRED, call("get", at("$.long"), at("$.key"))),
    "numbers": loop("map", RANGE, call("to_number", TEXT)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_ends_soon_and_takes_little(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth of what is allowed takes a tenth of the time.
    monkeypatch.setattr(allowance, "MOST_ELEMENTS", ELEMENTS)
    ctx = {
        "text": "a" * (2 * MIB),
        "same": "a" * (2 * MIB - 1) + "b",
        "xs": big(),
        "ys": big(),
        "deep": [[0]] * 10_000,
        "wide": {str(number): number for number in range(10_000)},
        "wider": {str(number): number for number in range(1, 10_001)},
        # Each of these texts is an object of its own, as JSON reads them.
        "long": {"a" * (2 * MIB): 0},
        "long_too": {"a" * (2 * MIB): 0},
        "key": "a" * (2 * MIB),
    }
    expr = parse_expr(HOSTILE[name], "swarm")
    tracemalloc.start()
    try:
        start = time.monotonic()
        with pytest.raises(FlowError) as caught:
            evaluate_expr(expr, ctx)
        took, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.kind == "TypeError"
    assert len(str(caught.value)) < 300
    assert took < SECONDS
    assert peak < MEMORY


def test_unique_of_chosen_numbers_is_linear() -> None:
    # Python's hash of each of these is 1, so that of the arrays would be the same.
    same = [2.0 ** (61 * power) for power in range(-17, 17)]
    assert {hash(one) for one in same} == {1}
    chosen = [list(three) for three in product(same, repeat=3)]
    start = time.thread_time()
    assert run(call("unique", at("$")), chosen) == chosen
    assert time.thread_time() - start < SECONDS


def test_each_evaluation_has_the_whole_allowance() -> None:
    document = Document({"n": 600_000})
    expr = parse_expr(call("range", lit(0), at("$.n")), "swarm")
    for _ in range(3):
        assert len(document.evaluate(expr)) == 600_000
    both = parse_expr(array(*[call("range", lit(0), at("$.n"))] * 2), "swarm")
    error = flow_error(document.evaluate, both)
    assert str(error) == "type error in 'range': visits more than 1000000 elements"
    assert len(document.evaluate(expr)) == 600_000


def test_later_writes_do_not_change_what_a_constructor_or_function_gave() -> None:
    for tree in (
        {"op": "object", "entries": {"a": at("$.a")}},
        array(at("$.a")),
        call("merge", at("$")),
        call("values", at("$")),
        call("slice", at("$.list"), lit(0)),
        loop("sort_by", at("$.list"), lit(1)),
        call("get", at("$"), lit("a")),
        {"op": "default", "arg": array(at("$.a")), "fallback": lit(0)},
    ):
        document = Document({})
        for path, value in (("$.a.b", 1), ("$.list", [])):
            document.write(parse_expr(at(path)).at, value)  # type: ignore[union-attr]
        found = document.evaluate(parse_expr(tree, "swarm"))
        before = copy.deepcopy(found)
        document.write(parse_expr(at("$.a.b")).at, 2)  # type: ignore[union-attr]
        assert found == before, tree


def test_what_is_nested_too_deeply_is_an_error() -> None:
    nested: Json = []
    for _ in range(5000):
        nested = [nested]
    for name in ("to_string", "unique"):
        error = flow_error(run, call(name, at("$")), [nested])
        assert str(error) == f"type error in '{name}': a value nested too deeply"
