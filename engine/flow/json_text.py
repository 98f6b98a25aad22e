"""Strict JSON text in, compact JSON text out.

Numbers are integers of 64 bits or doubles, at most 127 containers nest (cases:
tests/conformance), and a repeated key is an error everywhere.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import Any, TypeAlias

from engine.flow.offloaded import Offloaded, looked_into

# A JSON value: None, bool, int, float, str, list or dict with str keys.
Json: TypeAlias = Any

MAX_DEPTH = 127
_LARGEST_INT = 2**64 - 1
_SMALLEST_INT = -(2**63)
_INFINITE = "a number must be finite (no NaN, no Infinity, within a double's range)"
# No integer of more characters fits 64 bits, and int() refuses very long texts.
_LONGEST_INT_TEXT = 20
# Up to this many containers their number is a good enough bound of the depth.
_FEW_CONTAINERS = 16
# Each layer is one fast pass over the brackets; counting is one slow pass.
_FEW_LAYERS = 16
_LARGEST_SHOWN = 16 << 20
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_STEPS = [1 if code in b"[{" else -1 for code in range(256)]
_HIDDEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def _content(value: Any) -> Any:
    return value.load() if type(value) is Offloaded else repr(value)


_COMPACT = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_content
)
_UNESCAPED = json.JSONEncoder(ensure_ascii=False)
_NEVER_AT_FAULT = frozenset({int, bool, type(None)})
_NOTHING_REPEATED: Mapping[int, tuple[Json, str]] = {}


class JsonTextError(ValueError):
    """A text that is not strict JSON; the message names the place and the rule."""


class JsonSyntaxError(JsonTextError):
    """A text that is not JSON, strict or not."""


def load_json(
    text: str | bytes,
    *,
    max_bytes: int | None = None,
    max_depth: int = MAX_DEPTH,
    literals_may_repeat: bool = False,
) -> Json:
    """Read one JSON value from text (UTF-8 where bytes).

    Integers beyond 64 bits become floats and `-0` is -0.0. With `literals_may_repeat`,
    the last value of a repeated key wins inside a program's `lit` values, as in the
    reference; anywhere else a repeated key is an error. Raises JsonTextError.
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
    """Write a value as JSON without spaces, keys sorted by code point.

    Never fails, because error texts contain its result: a value that is not JSON is
    written as its repr, and a value nested too deeply as a remark.
    """
    try:
        return _COMPACT.encode(value)
    except RecursionError:
        return "(a value nested too deeply to show)"


def copy_json(value: Json) -> Json:
    """Return a copy of a value without faults, with the numbers its text would give.

    Raises JsonTextError for an integer beyond a double's range.
    """
    return json.loads(dump_compact(value), parse_int=_read_finite)


def dump_visible(value: Json) -> str:
    """Write a value as JSON, with an escape for what ends or hides a line of text.

    These are the control characters beyond ASCII and the separators of Unicode.
    """
    written = _UNESCAPED.encode(value)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def dump_shown(value: Json) -> str:
    """Write a value as `dump_compact` does, a very large one as a remark.

    One part may be in a value many times: then it is small in memory, and its text would
    be gigabytes.
    """
    if _is_larger(value, _LARGEST_SHOWN):
        return "(a value too large to show)"
    return dump_compact(value)


def _is_larger(value: Json, most: int) -> bool:
    """Return whether the text of a value has more than about `most` characters.

    The walk ends where that is sure.
    """
    parts = [value]
    while parts and most >= 0:
        part = looked_into(parts.pop())
        if isinstance(part, str):
            most -= len(part)
        elif isinstance(part, list):
            most -= 3 * len(part)
            parts += part if most >= 0 else ()
        elif isinstance(part, dict):
            most -= sum(len(key) + 3 for key in part)
            parts += part.values() if most >= 0 else ()
    return most < 0


def text_depth(text: bytes, *, exact: bool = False) -> int:
    """Return an upper bound of the nesting of a JSON text.

    The bound is exact unless there are few containers; then it is their number, or the
    depth itself if that has to be `exact`.
    """
    count = text.count(b"[") + text.count(b"{")
    if count <= _FEW_CONTAINERS and not exact:
        return count
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(text.split(b'"')[::2])
    brackets = outside.translate(_TO_SQUARE, _NO_BRACKETS)
    # Most values are flat: remove the innermost containers, layer by layer.
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
    """Return the place and the broken rule of the first part that is not JSON.

    `repeated` maps the ids of objects that had a repeated key in their text to the
    object and the key.
    """
    if not repeated and _is_json(value, max_depth):
        return None

    def container_fault(part: Json, depth: int) -> str | None:
        return _container_fault(part, depth, max_depth, repeated)

    found = first_fault(value, _scalar_fault, container_fault)
    return None if found is None else (_place(found[0]), found[1])


def _is_json(value: Json, max_depth: int) -> bool:
    """Return whether no part has a fault: several times faster than to look for one."""
    waiting: list[tuple[Iterable[Json], int]] = [((value,), 0)]
    while waiting:
        parts, depth = waiting.pop()
        for part in parts:
            kind = type(part)
            if kind is str:
                if not part.isascii() and _surrogate_fault(part):
                    return False
            elif kind is dict or kind is list:
                if depth == max_depth or (kind is dict and not _are_keys(part)):
                    return False
                waiting.append((part.values() if kind is dict else part, depth + 1))
            elif kind not in _NEVER_AT_FAULT and not (kind is float and isfinite(part)):
                return False
    return True


def _are_keys(keys: Iterable[Json]) -> bool:
    """Return whether all of some keys are texts without half a surrogate pair."""
    try:
        joined = "".join(keys)
    except TypeError:
        return False
    # A pair of which two keys have a half each is none, so each is looked at.
    return joined.isascii() or not any(map(_surrogate_fault, keys))


def first_fault(
    value: Any,
    of_scalar: Callable[[Any], str | None],
    of_container: Callable[[Any, int], str | None],
    containers: tuple[type[Any], ...] = (dict, list),
) -> tuple[list[str | int], str] | None:
    """Return the keys that lead to the first part with a fault, and the fault.

    `of_container` gets the level of a container, too; the whole value has 1. The walk
    keeps its own stack, so any nesting can be checked.
    """
    trail: list[str | int] = [""]
    levels: list[Iterator[tuple[str | int, Any]]] = [iter([("", value)])]
    while levels:
        for key, part in levels[-1]:
            trail[-1] = key
            if not isinstance(part, containers):
                if (fault := of_scalar(part)) is not None:
                    return trail[1:], fault
                continue
            if (fault := of_container(part, len(levels))) is not None:
                return trail[1:], fault
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
                    # The reference to the object keeps its id from being used again.
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


def _read_finite(text: str) -> int | float:
    value = _read_int(text)
    if not isfinite(value):
        raise JsonTextError(f"somewhere in the value: {_INFINITE}")
    return value


def _scalar_fault(value: Json) -> str | None:
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, str):
        return _surrogate_fault(value)
    if isinstance(value, float):
        # Only NaN and the infinities differ from zero here.
        if value - value == 0.0:
            return None
        return _INFINITE
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
        return "a string must not contain half a surrogate pair"
    return None


def _place(trail: list[str | int]) -> str:
    steps = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in trail)
    return "$" + "".join(steps).encode("utf-8", "backslashreplace").decode("utf-8")


# Not frozen, which would triple its cost: each step makes one.
@dataclass(slots=True)
class JsonValue:
    """A JSON value with its text, so that it is serialised once.

    The value is a copy that the agent cannot change later. The text has no newline, so
    that it fits in an edit log; `depth` is an upper bound of the nesting. With a `mark`
    the text has references in the place of parts that are kept elsewhere.
    """

    value: Any
    text: bytes
    depth: int
    mark: str = ""
