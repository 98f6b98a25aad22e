"""The text of expressions: data files of cases, and texts that only cost time."""

import json
import time
import tracemalloc
from pathlib import Path as File
from typing import Any

import pytest
from flow_cases import same

from engine.flow import (
    FlowError,
    parse_expr,
    parse_node,
    print_expr,
    read_expr,
    read_node,
)
from engine.flow.origins import Origins

Json = Any
FOLDER = File(__file__).parents[2] / "cases" / "flow_text"
EXPRESSIONS, ERRORS, SOURCES = (
    json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("expressions", "errors", "sources")
)
MOST_SECONDS = 2.0
MOST_BYTES = 4 * 2**20
MILLION = 2**20
HOSTILE = {
    "round": "(" * MILLION,
    "square": "[" * MILLION,
    "curly": "{a:" * (MILLION // 3),
    "not": "not " * (MILLION // 4),
    "minus": "-" * MILLION,
    "sum": "1+" * (MILLION // 2),
    "and": "$ and " * (MILLION // 6),
    "less": "<" * MILLION,
    "digits": "9" * MILLION,
    "word": "a" * MILLION,
    "keys": "$" + ".a" * (MILLION // 2),
    "braces": '"' + "{{" * (MILLION // 2),
    "template": '"{' * (MILLION // 2),
    "escapes": "'" + "\\\\" * (MILLION // 2),
    "brackets": '$["' * (MILLION // 3),
    "slices": "$" + "[:]" * (MILLION // 3),
    "JSON": "lit(" + "[" * MILLION,
    "calls": "length(" * (MILLION // 7),
    "spaces": " " * MILLION,
    "late word": "'" + "a" * (2**14 - 6) + "' + x",
}


@pytest.mark.parametrize("case", EXPRESSIONS, ids=lambda case: case["text"])
def test_a_text_is_a_tree_and_is_printed(case: Json) -> None:
    expr = parse_expr(case["text"], "swarm")
    assert same(expr.to_json(), case["tree"])
    printed = case.get("printed", case["text"])
    assert print_expr(expr) == printed
    for source in (printed, case["tree"]):
        assert same(parse_expr(source, "swarm").to_json(), case["tree"])
    assert same(read_expr(case["tree"], "swarm").to_json(), case["tree"])


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case["text"])
def test_an_error_names_the_place_and_the_remedy(case: Json) -> None:
    with pytest.raises(FlowError) as caught:
        parse_expr(case["text"], "swarm")
    assert caught.value.kind == "ParseError"
    assert caught.value.offset == case["offset"]
    assert str(caught.value).startswith("parse error at $: ")
    for words in case["says"]:
        assert words in str(caught.value)


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: json.dumps(case["source"]))
def test_a_value_in_the_place_of_an_expression(case: Json) -> None:
    if "tree" in case:
        expr = parse_expr(case["source"], "swarm")
        assert same(expr.to_json(), case["tree"])
        return
    with pytest.raises(FlowError) as caught:
        parse_expr(case["source"], "swarm")
    assert str(caught.value).startswith(f"parse error at {case['place']}: ")
    for words in case["says"]:
        assert words in str(caught.value)


@pytest.mark.parametrize("text", ["$.a", "'a'", 1, ["$.a"], {"a": "$.a"}])
def test_the_other_dialect_has_no_texts(text: Json) -> None:
    with pytest.raises(FlowError, match=r"expected an object|missing field 'op'"):
        parse_expr(text)


def text_of(source: Json) -> str:
    """Return the text that is printed of an expression, or the error of it."""
    try:
        return print_expr(parse_expr(source, "swarm"))
    except FlowError as error:
        return str(error)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [2**14, MILLION])
def test_a_hostile_text_costs_little(name: str, size: int) -> None:
    tracemalloc.start()
    begun = time.process_time()
    for source in (HOSTILE[name][:size], {"template": HOSTILE[name][:size]}):
        said = text_of(source)
        assert len(said) < 3 * 2**14
    assert time.process_time() - begun < MOST_SECONDS
    assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    tracemalloc.stop()


def test_a_program_of_texts_is_the_program_of_trees() -> None:
    flow = {
        "kind": "seq",
        "children": [
            {"kind": "let", "at": "$.a", "value": "$.b + 1"},
            {
                "kind": "step",
                "agent": "x",
                "in": {"$step_meta": {"ref": "'m'"}, "topic": "$.b"},
                "out": '$["the answer"]',
            },
            {"kind": "try", "body": {"kind": "let", "at": "ctx.c", "value": 1},
             "catch": {"kind": "seq", "children": []}, "err_at": "$.e"},
        ],
    }  # fmt: skip
    program = parse_node(flow, "swarm").to_json()
    lhs, rhs = {"op": "path", "at": "$.b"}, {"op": "lit", "value": 1}
    added, step, caught = program["children"]
    assert added["value"] == {"op": "add", "lhs": lhs, "rhs": rhs}
    assert step["in"]["entries"] == {
        "$step_meta": {"op": "lit", "value": {"ref": "m"}},
        "topic": lhs,
    }
    assert step["out"] == {"op": "path", "at": '$["the answer"]'}
    assert caught["body"]["at"] == "$.c"
    assert caught["err_at"] == {"op": "path", "at": "$.e"}
    assert read_node(program, "swarm").to_json() == program
    text = "{$step_meta: {ref: 'm'}, topic: $.b}"
    again = parse_node({**flow["children"][1], "in": text}, "swarm")
    assert again.to_json() == step


def test_origins_name_the_text_and_the_character() -> None:
    source = {"a b": ["$.x", {"op": "not", "arg": "1 + $.y"}]}
    origins = Origins()
    expr = parse_expr(source, "swarm", origins)
    found = origins.by_place(expr)
    shown = {place: (one.place, one.offset) for place, one in found.items()}
    top = '$.entries["a b"]'
    assert shown.pop(f"{top}.items[0]") == ('$["a b"][0]', 0)
    assert shown == {
        "$": ("$", None),
        top: ('$["a b"]', None),
        f"{top}.items[1]": ('$["a b"][1]', None),
        f"{top}.items[1].arg": ('$["a b"][1].arg', 0),
        f"{top}.items[1].arg.lhs": ('$["a b"][1].arg', 0),
        f"{top}.items[1].arg.rhs": ('$["a b"][1].arg', 4),
    }
