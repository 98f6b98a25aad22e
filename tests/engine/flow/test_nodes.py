"""Programs: reading, refusals and their texts, writing back."""

import json
from typing import Any

import pytest
from flow_errors import flow_error
from hypothesis import given
from hypothesis import strategies as st

from engine.blueprint import Program
from engine.flow import FlowError, parse_expr, parse_node, read_node
from engine.flow.expr import Lit, PathExpr
from engine.flow.nodes import Join, fulfilled_record, require_item, target_path
from engine.flow.path import Path

Json = Any
ONE = {"op": "lit", "value": 1}
LET = {"kind": "let", "at": "ctx.a", "value": ONE}


def refusal(program: Json) -> str:
    error = flow_error(parse_node, program)
    assert error.kind == "ParseError"
    return str(error)


def test_a_refusal_names_the_place() -> None:
    bad = {"kind": "assign", "at": ONE, "value": {"op": "path", "at": "$a"}}
    nested = {"kind": "try", "body": {"kind": "seq", "children": [LET, bad]}}
    shown = refusal({**nested, "catch": LET})
    assert shown.startswith("parse error at $.body.children[1].value.at: ")
    assert "expected '.', '[', or end-of-string right after '$'" in shown


def test_a_refusal_names_the_nearest_spelling() -> None:
    assert "unknown field 'vale' of kind 'let'; did you mean 'value'?" in refusal(
        {"kind": "let", "at": "$.a", "vale": ONE}
    )
    assert "unknown kind 'fan_out'; did you mean 'fanout'?" in refusal(
        {"kind": "fan_out"}
    )
    assert "unknown op 'le'; did you mean" in refusal({**LET, "value": {"op": "le"}})


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (None, "expected an object with 'kind', got null"),
        ([], "expected an object with 'kind', got an array"),
        ({"knd": "seq"}, "missing field 'kind'; rename 'knd' to 'kind'"),
        ({"kind": "seq"}, "missing field 'children' of kind 'seq'"),
        (
            {"kind": "step", "ref": "a", "in": ONE},
            "missing field 'out' of kind 'step'; write"
            """ '"out": {"op": "path", "at": "$.NAME"}', the path that gets the answer""",
        ),
        ({"kind": "seq", "children": {}}, "$.children: expected an array"),
        ({"kind": "Seq", "children": []}, "unknown kind 'Seq'"),
        ({**LET, "at": {"op": "path", "at": "$.a"}}, "$.at: expected a string"),
        ({**LET, "value": 1}, "$.value: expected an object with 'op', got a number"),
        ({**LET, "value": {"op": "lit"}}, "missing field 'value' of op 'lit'"),
        ({**LET, "value": {"op": 1}}, "$.value.op: unknown op 1"),
    ],
)
def test_a_program_is_read_strictly(program: Json, message: str) -> None:
    assert message in refusal(program)


@pytest.mark.parametrize("maximum", [3.0, True, "3", -1, 2**32, None])
def test_the_maximum_of_a_loop_is_an_unsigned_integer(maximum: Json) -> None:
    loop = {"kind": "loop", "counter": ONE, "cond": ONE, "body": LET}
    assert "$.max: expected an integer" in refusal({**loop, "max": maximum})
    assert parse_node({**loop, "max": 2**32 - 1}).to_json()["max"] == 2**32 - 1


def test_a_join_is_one_of_four() -> None:
    fanout = {"kind": "fanout", "items": ONE, "bind": ONE, "body": LET, "out": ONE}
    shown = refusal({**fanout, "join": "al"})
    assert "$.join: unknown join 'al'; did you mean 'all'?" in shown
    assert parse_node({**fanout, "join": "race"}).to_json()["join"] == "race"


def test_the_authors_spelling_of_assign_is_kept() -> None:
    assign = {"kind": "assign", "at": {"op": "path", "at": "$.a"}, "value": ONE}
    assert parse_node(assign).to_json() == assign
    assert parse_node(LET).to_json() == LET


def test_an_absent_err_at_is_written_as_null() -> None:
    node = parse_node({"kind": "try", "body": LET, "catch": LET})
    assert node.to_json() == {"kind": "try", "body": LET, "catch": LET, "err_at": None}


def test_only_a_path_is_a_write_target() -> None:
    assert target_path(PathExpr(Path("$", ("a",)))) == Path("$", ("a",))
    with pytest.raises(FlowError) as caught:
        target_path(Lit("$.a"))
    text = "invalid path syntax: expected Path expr for write target"
    assert (caught.value.kind, str(caught.value)) == ("InvalidPath", text)


def test_any_and_race_require_an_item() -> None:
    require_item(Join.ALL, [])
    with pytest.raises(FlowError, match="requires at least one item"):
        require_item(Join.RACE, [])
    assert fulfilled_record(1) == {"status": "fulfilled", "value": 1}


@pytest.mark.parametrize("depth", [128, 129, 5000, 200_000])
def test_too_deep_a_program_is_refused(depth: int) -> None:
    nested: Json = 1
    for _ in range(depth - 1):
        nested = [nested]
    with pytest.raises(FlowError) as caught:
        parse_expr({"op": "lit", "value": nested})
    assert "nested deeper than 127 containers" in str(caught.value)
    with pytest.raises(FlowError, match="nested deeper"):
        parse_node({"kind": "seq", "children": nested})


def test_what_is_no_json_is_refused() -> None:
    circle: list[Json] = []
    circle.append(circle)
    for value in (circle, float("nan"), {1: 2}, object(), "\ud800", (1, 2)):
        with pytest.raises(FlowError, match=r"parse error at \$\.value"):
            parse_expr({"op": "lit", "value": value})


@pytest.mark.slow
@given(data=st.data())
def test_a_program_reads_back_what_it_writes(
    data: st.DataObject, programs: Any
) -> None:
    program = data.draw(programs.nodes)
    node = parse_node(program, programs.dialect)
    written = node.to_json()
    again = read_node(json.loads(json.dumps(written)), programs.dialect)
    assert json.dumps(again.to_json()) == json.dumps(written)
    assert again == node
    ids = {
        Program("p", flow, {}, dialect=programs.dialect).program_id
        for flow in (written, again.to_json())
    }
    assert len(ids) == 1
    # What the author wrote is all there; only an absent err_at is written as null.
    assert words(written) - words(program) <= {"err_at", "ref"}
    assert words(program) - words(written) <= {"agent"}


def words(value: Json) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(words, value))
    if not isinstance(value, dict):
        return set()
    return set(value) | words(list(value.values()))


def test_an_unknown_dialect_is_refused() -> None:
    for parse, value in ((parse_node, LET), (parse_expr, ONE)):
        with pytest.raises(FlowError, match="unknown dialect 'swrm'; did you mean"):
            parse(value, "swrm")  # type: ignore[arg-type]
