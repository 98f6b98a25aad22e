"""JSON goes through Lua unchanged, or is refused with the place."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.flow.json_text import JsonTextError, load_json
from engine.ports import LuaFault, LuaLimits, LuaScript
from workers.lua import SandboxHost

LIMITS = LuaLimits(seconds=20.0, memory=32 << 20, output=8 << 20)
SAFE = 2**53
Lua = Callable[..., Any]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(SAFE - 3, SAFE + 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=20,
)


def exactly(value: Any) -> str:
    """A value with the types of its numbers and the sign of its zeros."""
    return json.dumps(value, sort_keys=True)


def first_big(value: Any, place: str) -> list[str]:
    """The places of integers beyond 2^53."""
    if isinstance(value, dict):
        inner = [(f"{place}.{key}", part) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [(f"{place}[{n}]", part) for n, part in enumerate(value)]
    else:
        exact = isinstance(value, int) and not isinstance(value, bool)
        return [place] if exact and abs(value) > SAFE else []
    return [found for where, part in inner for found in first_big(part, where)]


@given(value=values)
@example(value=[])
@example(value={})
@example(value={"a": [], "b": {}, "": [None, {}, [[]]]})
@example(value=[None, None])
@example(value={"1": 1, "2": [1.0, 1, -0.0, 1e300, 5e-324, 0.1]})
@example(value=SAFE)
@example(value=-SAFE - 1)
@example(value={"deep": [{"n": 2**63}]})
@example(value='\0\x1f\x7f"\\/ä\U0001f600\u2028')
def test_a_value_comes_back_equal_or_is_refused_with_its_place(
    value: Any, host: SandboxHost
) -> None:
    # Through every door: the input, a host function, text and back, the result.
    source = """
    local value = host.echo(_CTX)
    return json.decode(json.encode(value))
    """
    script = LuaScript(source, input={"v": value}, functions={"echo": lambda v: v})
    big = first_big({"v": value}, "_CTX")
    if not big:
        assert exactly(host.run(script, LIMITS)) == exactly({"v": value})
        return
    with pytest.raises(LuaFault, match=r"is beyond 2\^53") as caught:
        host.run(script, LIMITS)
    assert caught.value.kind == "input"
    assert caught.value.place in big


@given(value=values)
def test_as_text_big_integers_are_refused_nowhere(
    value: Any, host: SandboxHost
) -> None:
    def texts(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: texts(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [texts(inner) for inner in part]
        return str(part) if first_big(part, "") else part

    script = LuaScript("return _CTX", input={"v": value}, big_integers_as_text=True)
    assert exactly(host.run(script, LIMITS)) == exactly({"v": texts(value)})


broken = st.builds(
    lambda value, at, cut, put: (
        lambda text: (
            text[: at % (len(text) + 1)] + put + text[at % (len(text) + 1) + cut :]
        )
    )(json.dumps(value, ensure_ascii=False)),
    values,
    st.integers(0, 200),
    st.integers(0, 2),
    st.sampled_from(
        ["", " ", ",", "]", "}", "[", '"', "0", "-", ".", "e", "\\", "n", "\n"]
    ),
)


@given(text=broken)
@example(text="")
@example(text=" [1 , 2 ]\n")
@example(text="\u00a01")
def test_json_decode_takes_what_our_own_reader_takes(
    text: str, host: SandboxHost
) -> None:
    script = LuaScript(
        "return {json.decode(text)}", globals={"text": text}, big_integers_as_text=True
    )
    try:
        expected = load_json(text)
    except JsonTextError:
        with pytest.raises(LuaFault, match=r"json\.decode: "):
            host.run(script, LIMITS)
        return
    (got,) = host.run(script, LIMITS)
    if first_big(expected, ""):
        return
    # Our reader makes floats of integers beyond 64 bits; Lua has them as text.
    if exactly(got) != exactly(expected):
        assert "0" in text
        assert exactly(expected) == exactly(load_json(json.dumps(expected)))
        assert any(len(digits) > 15 for digits in exactly(got).split('"')[1::2])


@pytest.mark.parametrize(
    "text",
    [
        "[1,]", "{,}", '{"a" 1}', '{"a":1,}', "{a:1}", "[1 2]", "[", "{", '"', '"\\x"',
        '"\\u12"', '"\\ud800"', '"\\udc00\\ud800"', '"\t"', "01", "-", "+1", "1.", ".5",
        "1e", "1e+", "0x10", "1e400", "-1e400", "NaN", "Infinity", "nul", "True", "//",
        "1 1", '{"a":1,"a":2}', "'a'", "[" * 128 + "]" * 128, "\ufeff1",
    ],
)  # fmt: skip
def test_json_decode_refuses(text: str, fault: Any) -> None:
    found = fault("local v = json.decode(text) return v", globals={"text": text})
    assert found.kind == "error"
    assert found.text.startswith("s.lua:1: json.decode: ")


@pytest.mark.parametrize(
    ("source", "place", "rule"),
    [
        ("return 0/0", "$", "a number must be finite"),
        ("return {a = {1/0}}", "$.a[0]", "a number must be finite"),
        ("return {a = -1/0}", "$.a", "a number must be finite"),
        ("return {1, nil, 3}", "$[1]", "an array has a hole here: use json.null"),
        ("return {[2] = 1}", "$[0]", "an array has a hole here"),
        ("return {1, x = 2}", "$", 'an array has the key "x" beside its numbers'),
        ("return {[1] = 1, [true] = 2}", "$", "beside its"),
        ("return {[true] = 2}", "$", "an object has a key of type boolean"),
        ("return {[1.5] = 2}", "$", "an array has the key number"),
        ("return {[0] = 2}", "$", "an array has the key number"),
        ("return json.object{1, 2}", "$", "an object has a key of type number"),
        ("return json.array{x = 1}", "$", 'an array has the key "x"'),
        ("return {f = print}", "$.f", "a function is no JSON value"),
        ("return {coroutine.create(print)}", "$[0]", "a thread is no JSON value"),
        (r"return {a = {b = '\xff'}}", "$.a.b", "the string is not UTF-8"),
        (r"return '\xed\xa0\x80'", "$", "the string is not UTF-8"),
        ("return math.maxinteger + 1", "$", "the integer -9223372036854775808"),
        ("return {n = 1 << 54}", "$.n", "the integer 18014398509481984 is beyond"),
    ],
)  # fmt: skip
def test_a_result_that_is_no_json_is_refused_with_its_place(
    source: str, place: str, rule: str, fault: Any
) -> None:
    found = fault(source)
    assert (found.kind, found.place, found.permanent) == ("result", place, True)
    assert found.text.startswith(f"its result at {place}: ")
    assert rule in found.text


def test_a_value_inside_itself_is_refused(fault: Any) -> None:
    found = fault("local t = {} t.t = t return t")
    assert "nested deeper than 127 containers, or inside itself" in found.text


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("return", None),
        ("return nil", None),
        ("return json.null", None),
        ("return {}", {}),
        ("return json.array()", []),
        ("return json.array({})", []),
        ("return json.object()", {}),
        ("return {1, 2}", [1, 2]),
        ("return {json.null}", [None]),
        ("return {['1'] = 1}", {"1": 1}),
        ("return 10 / 2", 5.0),
        ("return 10 // 2", 5),
        ("return 2^53", 2.0**53),
        ("return 1e15", 1e15),
        ("return 0.1", 0.1),
        ("local t = _CTX t[1] = nil return t", []),
        ("_CTX[2] = 'x' return _CTX", [7, "x"]),
        ("return {_CTX[1] == 7, json.null == json.decode('null')}", [True, True]),
        ("return tostring(json.null)", "null"),
        ("return json.encode({b = {1.5, json.null}, a = json.array()})",
         '{"a":[],"b":[1.5,null]}'),
        ("return json.decode(' {\"a\" : [ ] } ')", {"a": []}),
        ("return 1, 2", 1),
    ],
)  # fmt: skip
def test_lua_values_become_json(source: str, value: Any, lua: Lua) -> None:
    assert exactly(lua(source, [7])) == exactly(value)


def test_json_errors_can_be_caught(lua: Lua) -> None:
    got = lua("return {pcall(json.encode, {f = print})}")
    assert got == [False, "json.encode: $.f: a function is no JSON value"]
    got = lua("return {pcall(json.decode, '[1,')}")
    assert got == [False, "json.decode: expected a value (byte 4)"]
    assert lua("return pcall(json.decode, 5)") is False


def test_the_input_is_a_text_and_a_value(lua: Lua) -> None:
    source = "return {_PROMPT, _CTX == nil and 'nil' or _CTX}"
    assert lua(source, {"a": 1}) == ['{"a":1}', {"a": 1}]
    assert lua(source, '{"a": 1}') == ['{"a": 1}', {"a": 1}]
    assert lua(source, "just words") == ["just words", "nil"]
    assert lua(source, "") == ["", "nil"]
    assert lua(source, str(2**60)) == [str(2**60), "nil"]
    assert lua(source, None) == ["null", None]
    assert lua("return _PROMPT == nil and _CTX == nil") is True


def test_a_text_of_others_is_read_as_strictly_as_any(lua: Lua) -> None:
    """Only what the worker has encoded itself is known to be well formed."""
    source = "return _CTX == nil and 'nil' or _CTX"
    assert lua(source, r'{"a": "x\ny"}') == {"a": "x\ny"}
    assert lua(source, '{"a": "x\ny"}') == "nil"
    assert lua(source, '["x\x01"]') == lua(source, "[01]") == "nil"
    given = {'"': '"\\', "\\": "\\", "": "\n\x01", "\u2028": '\\"', "a": "b"}
    assert lua(source, given) == given


def test_what_cannot_go_in_is_refused_with_its_place(fault: Any) -> None:
    found = fault("return 1", {"a": [1, {"b": 2**53 + 1}]})
    assert (found.kind, found.place) == ("input", "_CTX.a[1].b")
    found = fault("return 1", globals={"limit": [2**60]})
    assert found.place == "limit[0]"
    assert fault("return 1", 2**70).kind == "input"
    assert fault("return 1", "\ud800").kind == "input"
    assert fault("return 1", {1, 2}).kind == "input"


def test_numbers_keep_their_value(lua: Lua) -> None:
    numbers = [0.1, 1 / 3, 1e-320, math.pi, 1e22, 123456789.123456789, 2.5e-8]
    assert lua("return _CTX", numbers) == numbers
