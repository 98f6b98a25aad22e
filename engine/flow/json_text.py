"""Strict JSON text in, compact JSON text out.

The rules are those of the reference's text parser (language-semantics, Numbers and
Decoding) plus one of our own: a repeated key is an error everywhere.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, TypeAlias

# A JSON value: None, bool, int, float, str, list or dict with str keys.
Json: TypeAlias = Any

MAX_DEPTH = 127
_LARGEST_INT = 2**64 - 1
_SMALLEST_INT = -(2**63)
# No integer of more characters fits 64 bits, and int() refuses very long texts.
_LONGEST_INT_TEXT = 20
# So few containers that counting them is enough of a bound.
_FEW_CONTAINERS = 16
# Each is a pass over what is left; counting takes one pass, but a slow one.
_FEW_LAYERS = 16
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_SORT = bytes.maketrans(b"{}", b"[]")
_STEPS = [1 if code in b"[{" else -1 for code in range(256)]
_NOTHING_REPEATED: Mapping[int, tuple[Json, str]] = {}


class JsonTextError(ValueError):
    """A text that is not strict JSON; the message names the place and the rule."""


class JsonSyntaxError(JsonTextError):
    """A text that no reader of JSON would take, strict or not."""


def load_json(
    text: str | bytes,
    *,
    max_bytes: int | None = None,
    max_depth: int = MAX_DEPTH,
    literals_may_repeat: bool = False,
) -> Json:
    """Reads one JSON value from text (UTF-8 where bytes).

    Integers beyond 64 bits become floats and `-0` is -0.0. `literals_may_repeat` lets
    the last of a repeated key win inside a program's `lit` values, as the reference
    does; anywhere else it is refused. Raises JsonTextError.
    """
    objects = _Objects(literals_may_repeat)
    decoded = _checked_text(text, max_bytes)
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=objects.build,
            parse_int=_read_int,
            parse_constant=float,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise JsonSyntaxError(f"{place}: {error.msg}") from None
    except RecursionError:
        rule = f"nested deeper than {max_depth} containers"
        raise JsonTextError(f"somewhere in the text: {rule}") from None
    fault = find_fault(value, max_depth=max_depth, repeated=objects.repeated)
    if fault is not None:
        place, rule = fault
        raise JsonTextError(f"at {place}: {rule}")
    return value


def dump_compact(value: Json) -> str:
    """Writes a value as JSON without spaces, keys sorted by code point.

    Never fails: error texts are made with it, so what is no JSON is shown by its
    repr and what is nested too deeply for the encoder by a remark.
    """
    try:
        return json.dumps(
            value,
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
            default=repr,
        )
    except RecursionError:
        return "(a value nested too deeply to show)"


def text_depth(text: bytes) -> int:
    """Returns how many containers of a JSON text are inside each other, or a bit more.

    Where there are few of them all are counted; otherwise it is exact, at the speed of C.
    """
    count = text.count(b"[") + text.count(b"{")
    if count <= _FEW_CONTAINERS:
        return count
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(text.split(b'"')[::2])
    brackets = outside.translate(_ONE_SORT, _NO_BRACKETS)
    # Most values are flat: their innermost containers are taken away, layer by layer.
    layers = 0
    while layers < _FEW_LAYERS and b"[]" in brackets:
        brackets = brackets.replace(b"[]", b"")
        layers += 1
    return layers + max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def find_fault(
    value: Json,
    *,
    max_depth: int = MAX_DEPTH,
    repeated: Mapping[int, tuple[Json, str]] = _NOTHING_REPEATED,
) -> tuple[str, str] | None:
    """Returns the place and the broken rule of the first part that is not JSON.

    `repeated` maps the ids of objects that had a repeated key in their text to the
    object and the key. The walk keeps its own stack, so any nesting can be checked.
    """
    trail: list[str | int] = [""]
    levels: list[Iterator[tuple[str | int, Json]]] = [iter([("", value)])]
    while levels:
        for key, part in levels[-1]:
            trail[-1] = key
            if not isinstance(part, (dict, list)):
                rule = _scalar_fault(part)
                if rule is not None:
                    return _place(trail), rule
                continue
            rule = _container_fault(part, len(levels), max_depth, repeated)
            if rule is not None:
                return _place(trail), rule
            below = part.items() if isinstance(part, dict) else enumerate(part)
            levels.append(iter(below))
            trail.append("")
            break
        else:
            levels.pop()
            trail.pop()
    return None


class _Objects:
    """Builds objects from pairs and notes which of them had a repeated key."""

    def __init__(self, literals_may_repeat: bool) -> None:
        self.repeated: dict[int, tuple[Json, str]] = {}
        self._literals_may_repeat = literals_may_repeat

    def build(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        built = dict(pairs)
        if len(built) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    # The object is kept beside its key: its id stays its own.
                    self.repeated[id(built)] = (built, key)
                    break
                seen.add(key)
        elif self.repeated and self._literals_may_repeat and built.get("op") == "lit":
            self._forget_inside(built.get("value"))
        return built

    def _forget_inside(self, literal: Json) -> None:
        parts = [literal]
        while parts:
            part = parts.pop()
            self.repeated.pop(id(part), None)
            if isinstance(part, dict):
                parts.extend(part.values())
            elif isinstance(part, list):
                parts.extend(part)


def _checked_text(text: str | bytes, max_bytes: int | None) -> str:
    if max_bytes is not None:
        encoded = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        if len(encoded) > max_bytes:
            raise JsonTextError(f"the text: longer than {max_bytes} bytes")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise JsonTextError(f"byte {error.start}: not UTF-8") from None
    if text.startswith("\ufeff"):
        raise JsonTextError("line 1 column 1: starts with a byte order mark")
    return text


def _read_int(text: str) -> int | float:
    if text == "-0":
        return -0.0
    if len(text) > _LONGEST_INT_TEXT:
        return float(text)
    value = int(text)
    return value if _SMALLEST_INT <= value <= _LARGEST_INT else float(text)


def _scalar_fault(value: Json) -> str | None:
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, str):
        return _surrogate_fault(value)
    if isinstance(value, float):
        # Only NaN and the infinities differ from zero here.
        if value - value == 0.0:
            return None
        return "a number must be finite (no NaN, no Infinity, within a double's range)"
    return f"not a JSON value: {type(value).__name__}"


def _container_fault(
    value: Json,
    depth: int,
    max_depth: int,
    repeated: Mapping[int, tuple[Json, str]],
) -> str | None:
    if depth > max_depth:
        return f"nested deeper than {max_depth} containers"
    if id(value) in repeated:
        return f"duplicate key {repeated[id(value)][1]!r}"
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return f"an object's key must be a string, got {key!r}"
            rule = _surrogate_fault(key)
            if rule is not None:
                return rule
    return None


def _surrogate_fault(text: str) -> str | None:
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "a string must not hold half a surrogate pair"
    return None


def _place(trail: list[str | int]) -> str:
    steps = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in trail[1:])
    return "$" + "".join(steps).encode("utf-8", "backslashreplace").decode("utf-8")
