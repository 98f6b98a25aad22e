"""Paths: grammar, canonical text, reading and writing."""

from typing import Any

import pytest
from flow_errors import flow_error
from hypothesis import given
from hypothesis import strategies as st

from engine.flow import Document, FlowError, parse_path
from engine.flow.path import Path, read_path


def failure(text: str) -> str:
    error = flow_error(parse_path, text)
    assert error.kind == "InvalidPath"
    return str(error)


@pytest.mark.parametrize(
    ("text", "keys", "canonical"),
    [
        ("$", (), "$"),
        ("ctx", (), "ctx"),
        ("$.a.b", ("a", "b"), "$.a.b"),
        ('$["x.y"]', ("x.y",), '$["x.y"]'),
        ('$.["a"].["b"]', ("a", "b"), "$.a.b"),
        ('ctx["a"][" "].c', ("a", " ", "c"), "ctx.a. .c"),
        ("$.a]b", ("a]b",), '$["a]b"]'),
        ("$.0.$.*.é", ("0", "$", "*", "é"), "$.0.$.*.é"),
        ("$.a\n", ("a\n",), "$.a\n"),
    ],
)
def test_a_path_has_keys_and_a_canonical_text(
    text: str, keys: tuple[str, ...], canonical: str
) -> None:
    path = parse_path(text)
    assert path.keys == keys
    assert str(path) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "path must start with"),
        ("$a", "right after '$'"),
        ("ctx a", "right after 'ctx'"),
        ("$.", "trailing '.' with no segment after it"),
        ("$.a.", "empty path segment (leading, trailing, or consecutive '.')"),
        ('$["a"].', "empty path segment"),
        ('$..["a"]', "empty path segment"),
        ("$.a[0]", "expected '\"' after '['"),
        ('$.["', "unterminated bracket segment"),
        ('$.a[""]', "empty bracket key"),
        ('$["a"x', "missing closing ']' after key"),
        ('$["a"]b', "expected '.' or '[' after bracket segment"),
    ],
)
def test_a_malformed_path_names_its_text_and_the_reason(text: str, reason: str) -> None:
    shown = failure(text)
    assert f"'{text}'" in shown
    assert reason in shown


def test_a_path_is_a_string() -> None:
    wrong: Any = ["$"]
    assert "must be a string" in failure(wrong)


def test_both_roots_name_the_same_place() -> None:
    assert parse_path("ctx.a").read({"a": 1}) == parse_path("$.a").read({"a": 1})


def test_a_missing_path_is_not_null() -> None:
    assert parse_path("$.a").read({"a": None}) is None
    with pytest.raises(FlowError, match=r"path not found: \$\.b"):
        parse_path("$.b").read({"a": None})


@pytest.mark.parametrize("text", ["$.xs.0", '$.xs["0"]', "$.s.length", "$.n.a"])
def test_only_objects_have_places(text: str) -> None:
    with pytest.raises(FlowError) as caught:
        parse_path(text).read({"xs": [1], "s": "x", "n": None})
    assert caught.value.kind == "PathNotFound"


def test_a_write_copies_only_what_is_on_its_path() -> None:
    before = {"a": {"b": 1}, "c": {"d": 2}}
    after = parse_path("$.a.x").write(before, 3)
    assert after == {"a": {"b": 1, "x": 3}, "c": {"d": 2}}
    assert before == {"a": {"b": 1}, "c": {"d": 2}}
    assert after["c"] is before["c"]


def test_absent_and_null_places_on_the_way_become_objects() -> None:
    assert parse_path("$.a.b").write(None, 1) == {"a": {"b": 1}}
    assert parse_path("$.a.b.c").write({"a": None}, 1) == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize("value", ["s", 0, False, [1], []])
def test_a_write_never_replaces_a_value_on_the_way(value: Any) -> None:
    with pytest.raises(FlowError) as caught:
        parse_path("$.a.b").write({"a": value}, 1)
    assert caught.value.kind == "TypeError"
    assert "cannot write path '$.a.b' at segment 'b'" in str(caught.value)


@given(st.lists(st.text(min_size=1).filter(lambda key: '"' not in key)))
def test_the_canonical_text_reads_back(keys: list[str]) -> None:
    path = parse_path("$" + "".join(f'["{key}"]' for key in keys))
    assert path.keys == tuple(keys)
    assert parse_path(str(path)) == path


@given(st.text(alphabet='$.["]a ctx'))
def test_any_text_is_a_path_or_an_invalid_path(text: str) -> None:
    kind = ""
    keys: tuple[str, ...] = ()
    try:
        keys = parse_path(text).keys
    except FlowError as error:
        kind = error.kind
    assert kind in ("", "InvalidPath")
    assert all(keys)


def test_a_path_with_indices_reads_back_from_its_keys() -> None:
    path = parse_path('$.a[0]["b.c"][-1]', "swarm")
    assert path.keys == ("a", 0, "b.c", -1)
    assert Path("$", path.keys) == path
    assert parse_path(str(path), "swarm") == path
    assert type(parse_path("$.a", "swarm")) is Path


def test_writing_elements_copies_an_array_once() -> None:
    given = {"xs": [{"n": n} for n in range(100)]}
    document = Document(given)
    document.write(parse_path("$.xs[0].n", "swarm"), -1)
    array = document.value["xs"]
    assert array is not given["xs"]
    for n in range(100):
        document.write(parse_path(f"$.xs[{n}].n", "swarm"), 0)
        assert document.value["xs"] is array
    kept = document.read(parse_path("$.xs[3]", "swarm"))
    document.write(parse_path("$.xs[3].n", "swarm"), 1)
    assert (kept, given["xs"][3]) == ({"n": 0}, {"n": 3})


def test_an_array_of_another_class_becomes_a_plain_one_when_written_to() -> None:
    class Shared(list[int]):
        pass

    after = parse_path("$[0]", "swarm").write(Shared([1, 2]), 5)
    assert (type(after), after) == (list, [5, 2])


@pytest.mark.parametrize(
    ("text", "keys", "printed"),
    [
        ("$.a.b", ("a", "b"), "$.a.b"),
        ("ctx.a", ("a",), "$.a"),
        ("$.größe._1", ("größe", "_1"), "$.größe._1"),
        ('$["a b"][0]["c"]', ("a b", 0, "c"), '$["a b"][0].c'),
        ('$["\\"\\\\\\n]"]', ('"\\\n]',), '$["\\"\\\\\\n]"]'),
        ('$[""]', ("",), '$[""]'),
        ('$["\\u2028"]', ("\u2028",), '$["\\u2028"]'),
    ],
)
def test_the_dialect_has_escapes_and_any_key(
    text: str, keys: tuple[str | int, ...], printed: str
) -> None:
    path = parse_path(text, "swarm")
    assert (path.root, path.keys, str(path)) == ("$", keys, printed)
    assert parse_path(printed, "swarm") == read_path(printed, "swarm") == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$.my-key", "write the key 'my-key' as [\"my-key\"]"),
        ("$.a.0", "write the key '0' as [\"0\"], an element of an array as [0]"),
        ("$.a b.c", "write the key 'a b' as [\"a b\"]"),
        ("$['a']", "between double quotes"),
        ('$["a\\q"]', 'key "a\\q": Invalid \\escape'),
        ('$["\\ud800"]', "half a surrogate pair"),
        ("$.a..b", "empty path segment"),
        ("$.a[0]b", "expected '.' or '['"),
    ],
)
def test_a_key_that_is_no_identifier_needs_brackets(text: str, said: str) -> None:
    error = flow_error(parse_path, text, "swarm")
    assert str(error).startswith("invalid path syntax: invalid path syntax '")
    assert said in str(error)


def test_stored_paths_of_the_dialect_may_have_older_keys() -> None:
    for text, keys in (
        ("$.my-key.0[1]", ("my-key", "0", 1)),
        ('ctx["a.b"].c d', ("a.b", "c d")),
        ("$.a", ("a",)),
    ):
        path = read_path(text, "swarm")
        assert (path.root, path.keys) == ("$", keys)
        assert parse_path(str(path), "swarm") == path
    assert flow_error(read_path, "$..a", "swarm").kind == "InvalidPath"
    assert flow_error(read_path, "$.a[0]").kind == "InvalidPath"
    assert str(read_path("ctx.my-key")) == "ctx.my-key"
