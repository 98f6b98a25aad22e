"""Strict JSON text: refusals and their texts; compact text."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.flow import JsonTextError, dump_compact, load_json
from engine.flow.json_text import (
    _container_fault,
    _scalar_fault,
    copy_json,
    find_fault,
    first_fault,
    text_depth,
)

Json = Any


def refusal(text: str | bytes, **limits: Any) -> str:
    with pytest.raises(JsonTextError) as caught:
        load_json(text, **limits)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"b": [0, {"c": 1, "c": 2}]}}', "at $.a.b[1]: duplicate key 'c'"),
        ('{"a": {"x": 1, "x": 2}, "a": 3}', "at $: duplicate key 'a'"),
        ('{"a": NaN}', "at $.a: a number must be finite"),
        ("[1, -Infinity]", "at $[1]: a number must be finite"),
        ("[1e400]", "at $[0]: a number must be finite"),
        (f"[{'9' * 5000}]", "at $[0]: a number must be finite"),
        ('["\\ud800"]', "at $[0]: a string must not contain half a surrogate pair"),
        ('{"\\udc00": 1}', "at $: a string must not contain half a surrogate pair"),
        ("\ufeff1", "line 1 column 1: starts with a byte order mark"),
        (b"\xef\xbb\xbf1", "line 1 column 1: starts with a byte order mark"),
        (b'"\xff"', "byte 1: not UTF-8"),
        ('{"a":\n 1,}', "line 2 column"),
        ("[1.]", "line 1 column 3"),
        ("[+1]", "line 1 column 2"),
        ("[01]", "line 1 column 3"),
        ('["\t"]', "Invalid control character"),
        ("", "line 1 column 1"),
        ("1 2", "Extra data"),
    ],
)
def test_text_is_read_strictly(text: str | bytes, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize("depth", [128, 1000, 100_000])
def test_too_deep_a_text_is_refused(depth: int) -> None:
    assert "nested deeper than 127 containers" in refusal("[" * depth + "]" * depth)
    assert load_json("[" * 127 + "]" * 127)
    assert "nested deeper than 1 containers" in refusal("[[]]", max_depth=1)


def test_too_large_a_text_is_refused() -> None:
    assert "longer than 3 bytes" in refusal('"éé"', max_bytes=3)
    assert load_json('"é"', max_bytes=4) == "é"


def test_integers_beyond_64_bits_become_floats() -> None:
    values = load_json(
        "[18446744073709551615, 18446744073709551616, -9223372036854775808, "
        "-9223372036854775809, -0, -0.0, 1e-400]"
    )
    assert [type(value) for value in values] == [int, float, int, *[float] * 4]
    assert values[1] == 2.0**64
    assert math.copysign(1, values[4]) == -1


def test_a_literal_may_repeat_a_key_if_that_is_allowed() -> None:
    text = '{"op": "lit", "value": {"a": [{"b": 1, "b": 2}], "a": {"c": 1, "c": 3}}}'
    assert "duplicate key" in refusal(text)
    value = load_json(text, literals_may_repeat=True)
    assert value == {"op": "lit", "value": {"a": {"c": 3}}}
    with pytest.raises(JsonTextError, match="at \\$: duplicate key 'value'"):
        load_json('{"op": "lit", "value": 1, "value": 2}', literals_may_repeat=True)


def test_compact_text_has_sorted_keys_and_no_spaces() -> None:
    value = {"é": [1, 1.0, -0.0, None, True], "a": {"z": "\n\u0007😀", "b": 1e300}}
    text = '{"a":{"b":1e+300,"z":"\\n\\u0007😀"},"é":[1,1.0,-0.0,null,true]}'
    assert dump_compact(value) == text


def test_compact_text_never_fails() -> None:
    nested: Json = 1
    for _ in range(100_000):
        nested = [nested]
    assert dump_compact(nested) == "(a value nested too deeply to show)"
    assert "object object" in dump_compact([object()])


@given(data=st.data())
def test_what_is_written_reads_back(data: st.DataObject, json_values: Json) -> None:
    value = data.draw(json_values)
    assert repr(load_json(json.dumps(value))) == repr(value)
    assert load_json(dump_compact(value).encode()) == value


@given(st.text(alphabet='{}[]",:0123456789.-+eE tfn\\u'))
def test_any_text_is_json_or_refused(text: str) -> None:
    with contextlib.suppress(JsonTextError):
        json.dumps(load_json(text), allow_nan=False)


ODD_TEXTS = st.text(alphabet='[]{}"\\\n,a\u00e9', max_size=8)


@given(
    st.recursive(
        st.none() | st.integers() | ODD_TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(ODD_TEXTS, inner),
    ),
    st.sampled_from([0, 1, 20, 200]),
    st.booleans(),
)
def test_the_depth_of_a_text_is_that_of_its_value(
    value: Json, around: int, ascii_only: bool
) -> None:
    def depth(part: Json) -> int:
        if not isinstance(part, list | dict):
            return 0
        inner = part.values() if isinstance(part, dict) else part
        return 1 + max(map(depth, inner), default=0)

    for _ in range(around):
        value = [value]
    many = [value, *[[]] * 20]
    text = json.dumps(many, ensure_ascii=ascii_only).encode()
    assert text_depth(text) == depth(many)


class Text(str):
    """A text of a class of its own, which is JSON as well."""


odd = st.one_of(
    st.floats(),
    st.binary(max_size=1),
    st.just(10**400),
    st.just("\ud800"),
    st.builds(Text, st.text(max_size=2)),
    st.integers(),
)
values = st.recursive(
    odd,
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=2), st.integers()), below, max_size=3
        ),
    ),
)


@given(values, st.integers(0, 3))
def test_the_quick_check_is_as_strict_as_the_search_for_a_fault(
    value: Any, most: int
) -> None:
    """The quick one may send a value to the search that has no fault, never reverse."""
    slow = first_fault(
        value,
        _scalar_fault,
        lambda part, depth: _container_fault(part, depth, most, {}),
    )
    assert (find_fault(value, max_depth=most) is None) == (slow is None)


def test_a_copy_has_the_numbers_of_its_text() -> None:
    value = {"a": [2**70, -0.0, 1.5, True, None, "ä"]}
    copied = copy_json(value)
    assert copied == {"a": [float(2**70), -0.0, 1.5, True, None, "ä"]}
    assert isinstance(copied["a"][0], float)
    assert copied["a"] is not value["a"]
    with pytest.raises(JsonTextError, match="must be finite"):
        copy_json([10**400])
