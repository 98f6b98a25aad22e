"""The document: cheap writes that do not change earlier values."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation_oracle import without

from engine.flow import Document, FlowError, parse_expr, parse_path
from engine.flow.expr import PathExpr
from engine.flow.path import Path

Json = Any


def read(at: str) -> Json:
    return parse_expr({"op": "path", "at": at})


def test_the_given_value_is_never_changed() -> None:
    given = {"a": {"b": 1}}
    document = Document(given)
    document.write(parse_path("$.a.b"), 2)
    document.write(parse_path("$.a.c"), 3)
    assert document.value == {"a": {"b": 2, "c": 3}}
    assert given == {"a": {"b": 1}}


def test_a_second_write_is_made_in_place() -> None:
    document = Document({"a": {}})
    document.write(parse_path("$.a.b"), 1)
    root, inner = document.value, document.value["a"]
    document.write(parse_path("$.a.c"), 2)
    assert document.value is root
    assert document.value["a"] is inner


@pytest.mark.parametrize("at", ["$", "$.a", "$.a.b"])
def test_a_value_that_was_read_stays_as_it_was(at: str) -> None:
    document = Document({})
    document.write(parse_path("$.a.b.c"), 1)
    for seen in (document.read(parse_path(at)), document.evaluate(read(at))):
        before = copy.deepcopy(seen)
        document.write(parse_path("$.a.b.c"), 2)
        document.write(parse_path("$.a.b.d"), 2)
        assert seen == before
        document.write(parse_path("$.a.b"), {"c": 1})


def test_reading_an_object_copies_no_other_at_the_next_write() -> None:
    document = Document({})
    document.write(parse_path("$.a.x"), 1)
    document.write(parse_path("$.b.x"), 1)
    root, other = document.value, document.value["b"]
    seen = document.evaluate(read("$.a"))
    document.write(parse_path("$.a.x"), 2)
    document.write(parse_path("$.b.x"), 2)
    assert seen == {"x": 1}
    assert document.value is root
    assert document.value["b"] is other


def test_an_extern_may_keep_what_it_was_given() -> None:
    kept: list[Json] = []
    call = {"op": "call_extern", "ref": "f", "args": [{"op": "path", "at": "$.a"}]}
    equal = {"op": "eq", "lhs": call, "rhs": {"op": "lit", "value": 1}}
    document = Document({})
    document.write(parse_path("$.a.b"), 1)
    document.evaluate(parse_expr(equal), {"f": kept.extend})
    document.write(parse_path("$.a.b"), 2)
    assert kept == [{"b": 1}]


def test_a_failing_write_leaves_the_document_unchanged() -> None:
    document = Document({"a": {"s": "text"}})
    document.write(parse_path("$.a.n"), 1)
    before = copy.deepcopy(document.value)
    with pytest.raises(FlowError, match=r"path\.write"):
        document.write(parse_path("$.a.s.x.y"), 1)
    assert document.value == before


def test_a_snapshot_can_be_restored() -> None:
    document = Document({"a": 1})
    document.write(parse_path("$.b.c"), 2)
    before = document.snapshot()
    document.write(parse_path("$.b.c"), 3)
    document.write(parse_path("$"), [1])
    document.restore(before)
    document.write(parse_path("$.b.d"), 4)
    assert before == {"a": 1, "b": {"c": 2}}
    assert document.value == {"a": 1, "b": {"c": 2, "d": 4}}


def test_replaced_objects_are_let_go() -> None:
    document = Document({})
    for n in range(100):
        document.write(parse_path("$.a.b.c"), n)
        document.write(parse_path("$.a"), None)
    assert len(document._owned) == 1


def test_dicts_and_lists_of_subclasses_are_containers() -> None:
    class Object(dict[str, Json]):
        pass

    class Array(list[Json]):
        pass

    given = Object(a=Object(xs=Array([1])))
    document = Document(given)
    document.write(parse_path("$.a.b"), 1)
    assert document.value == {"a": {"xs": [1], "b": 1}}
    assert type(document.value["a"]["xs"]) is Array
    assert given == {"a": {"xs": [1]}}


def test_a_lent_value_may_be_written_back() -> None:
    document = Document({})
    document.write(parse_path("$.a.b"), 1)
    document.write(parse_path("$.c"), document.value["a"])
    document.write(parse_path("$.a.b"), 2)
    assert document.value == {"a": {"b": 2}, "c": {"b": 1}}


OPERATIONS = ["write", "move", "delete", "read", "snapshot", "restore"]


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_a_document_is_what_deep_copies_would_make_it(
    data: st.DataObject, json_values: Json, programs: Any
) -> None:
    def path() -> Path:
        return parse_path(data.draw(programs.paths), programs.dialect)

    document = Document(data.draw(json_values))
    model = copy.deepcopy(document.value)
    kept = [(document.value, copy.deepcopy(document.value))]
    for operation in data.draw(st.lists(st.sampled_from(OPERATIONS), max_size=20)):
        at = path()
        try:
            if operation == "write":
                value = data.draw(json_values)
                kept.append((value, copy.deepcopy(value)))
                model = at.write(copy.deepcopy(model), copy.deepcopy(value))
                document.write(at, value)
            elif operation == "move":
                source = path()
                moved = copy.deepcopy(source.read(model))
                value = document.evaluate(PathExpr(source))
                kept.append((value, moved))
                model = at.write(copy.deepcopy(model), copy.deepcopy(moved))
                document.write(at, value)
            elif operation == "delete":
                if at.keys:
                    left = without(model, at.keys)
                    assert document.delete(at) is (repr(left) != repr(model))
                    model = left
            elif operation == "read":
                kept.append((document.read(at), copy.deepcopy(at.read(model))))
            elif operation == "snapshot":
                kept.append((document.snapshot(), copy.deepcopy(model)))
            else:
                value, copied = data.draw(st.sampled_from(kept))
                document.restore(value)
                model = copy.deepcopy(copied)
        except FlowError:
            pass
        assert repr(document.value) == repr(model)
        assert all(repr(value) == repr(copied) for value, copied in kept)


def test_many_keys_cost_no_copy_of_the_document_each() -> None:
    document = Document({})
    document.write(parse_path("$.first"), 1)
    root = document.value
    for n in range(100):
        document.write(parse_path(f"$.k{n}"), n)
        # The object that the first write copied is changed in place ever after.
        assert document.value is root
    assert len(root) == 101
