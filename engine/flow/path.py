"""Paths: the names of places in the document, by object keys.

Grammar: docs/guides/the-language.md, Paths. Only the dialect `swarm` has
indices of arrays, `[0]` and `[-1]`, and escapes in keys; there a plain key is an
identifier.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

from engine.flow.errors import (
    FlowError,
    TextFault,
    invalid_path,
    path_not_found,
    type_error,
)
from engine.flow.grammar import Dialect
from engine.flow.json_text import (
    Json,
    JsonTextError,
    dump_compact,
    dump_shown,
    dump_visible,
    load_json,
)
from engine.flow.offloaded import Offloaded, looked_into

Key = str | int

IDENTIFIER: Final = r"[^\W\d]\w*"
_ROOTS = ("$", "ctx")
# One segment of a path with brackets: `.plain`, `["key"]` or `.["key"]`.
_SEGMENT = re.compile(r'\.(?P<plain>[^.\[]+)|\.?\["(?P<quoted>[^"]+)"\]')
_INDEX = re.compile(r"\.?\[(?P<index>-?[0-9]+)\]")
# No array is longer, and more digits would not fit the stored form of a path.
_LONGEST_INDEX = 9
_NEEDS_BRACKETS = re.compile(r"[.\[\]]")
# One segment of a path in the dialect `swarm`.
_SWARM_SEGMENT = re.compile(
    rf'\.(?P<plain>{IDENTIFIER})(?!\w)|\.?\[(?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*")\]'
    r"|\.?\[(?P<index>-?[0-9]+)\]",
    re.DOTALL,
)
_IDENTIFIER = re.compile(IDENTIFIER)
LONGEST_CACHED: Final = 256
"""The most characters of a path whose keys are remembered."""
_OLD_PLAIN = re.compile(r"[^.\[]+")
# Written at a path, it removes what is there.
_REMOVED: Final[Json] = object()


@dataclass(frozen=True, slots=True)
class Path:
    """A root token (`$` or `ctx`, equal in meaning) and the keys below it.

    An integer key, which only the dialect `swarm` has, is an index of an array. The
    dialect also decides how the keys are written.
    """

    root: str
    keys: tuple[Key, ...]
    dialect: Dialect = field(default="flow.ir", compare=False, repr=False)

    def read(self, ctx: Json) -> Json:
        """Return the value at this path; raises PathNotFound, also out of range."""
        for key in self.keys:
            if isinstance(key, str):
                if not isinstance(ctx, dict) or key not in ctx:
                    ctx = self._loaded(ctx, key)
            elif not isinstance(ctx, list) or not -len(ctx) <= key < len(ctx):
                ctx = self._loaded(ctx, key)
            ctx = ctx[key]
        return ctx

    def _loaded(self, ctx: Json, key: Key) -> Json:
        """Return a container that is kept elsewhere; PathNotFound if it has no such key."""
        content = looked_into(ctx)
        if not has_key(content, key) or content is ctx:
            raise path_not_found(str(self))
        return content

    def write(self, ctx: Json, value: Json) -> Json:
        """Return `ctx` with `value` at this path, sharing all other parts.

        Absent and null places on the way become objects. Raises TypeError of
        'path.write' at any other value that is not an object (an array before an
        index), and PathNotFound where an element does not exist: nothing is padded.
        """
        return self.write_owned(ctx, value, {})

    def width(self, ctx: Json) -> int:
        """Return how many entries the containers have that a write here may copy."""
        entries = 0
        for key in self.keys:
            ctx = looked_into(ctx)
            if not isinstance(ctx, (dict, list)):
                break
            entries += len(ctx)
            try:
                ctx = cast("Json", ctx)[key]
            except (LookupError, TypeError):
                break
        return entries

    def write_owned(self, ctx: Json, value: Json, owned: dict[int, Json]) -> Json:
        """Write like `write`, but in place where a container on the way is owned.

        `owned` maps ids to the containers that may be changed; the copies made here
        are added to it. Raises before anything is changed.
        """
        keys = self.keys
        if not keys:
            return value
        self._require_places(ctx)
        place = ctx = _own(ctx, owned)
        for key in keys[:-1]:
            below = place.get(key) if isinstance(key, str) else place[key]
            if id(below) not in owned:
                below = place[key] = _own(below, owned)
            place = below
        last = keys[-1]
        # The containers on the way are owned by now; more may be below the last key.
        if len(owned) > len(keys):
            replaced = place.get(last) if isinstance(last, str) else place[last]
            if id(replaced) in owned:
                disown(replaced, owned)
        if value is not _REMOVED:
            place[last] = value
        else:
            del place[last]
        return ctx

    def delete_owned(self, ctx: Json, owned: dict[int, Json]) -> Json:
        """Return `ctx` without the value at this path, which has one and has keys.

        It changes and adds to `owned` as `write_owned` does. The elements of an array
        behind a removed one move up.
        """
        return self.write_owned(ctx, _REMOVED, owned)

    def _require_places(self, ctx: Json) -> None:
        for key in self.keys:
            if type(ctx) is Offloaded:
                ctx = ctx.load()
            if isinstance(key, str):
                if ctx is None:
                    continue
                if not isinstance(ctx, dict):
                    raise self._in_the_way(key, ctx, "an object")
                ctx = ctx.get(key)
                continue
            if ctx is not None and not isinstance(ctx, list):
                raise self._in_the_way(f"[{key}]", ctx, "an array")
            if ctx is None or not -len(ctx) <= key < len(ctx):
                raise path_not_found(str(self))
            ctx = ctx[key]

    def _in_the_way(self, segment: str, value: Json, wanted: str) -> FlowError:
        why = (
            f"cannot write path '{self}' at segment '{segment}': existing value at "
            f"this position is not {wanted} ({dump_shown(value)})"
        )
        return type_error("path.write", why)

    def __str__(self) -> str:
        segment = _segment if self.dialect == "flow.ir" else swarm_segment
        return self.root + "".join(map(segment, self.keys))


def has_key(value: Json, key: Key) -> bool:
    """Return whether a value is a container with this key, or with this index."""
    if isinstance(key, str):
        return isinstance(value, dict) and key in value
    return isinstance(value, list) and -len(value) <= key < len(value)


def disown(value: Json, owned: dict[int, Json]) -> None:
    """Take an owned container and the owned ones below it out of `owned`.

    The walk visits each of their entries once. The copies of the next writes cost as
    much, so disowning adds a constant factor to the cost of writing.
    """
    containers = [value]
    while containers:
        entries = containers.pop()
        del owned[id(entries)]
        parts: Iterable[Json] = entries
        if isinstance(entries, dict):
            parts = entries.values()
        containers.extend([part for part in parts if id(part) in owned])


def parse_path(text: str, dialect: Dialect = "flow.ir") -> Path:
    """Read a path as an author writes it; raises InvalidPath with text and reason."""
    # A Blueprint names most of its paths again and again.
    if isinstance(text, str) and len(text) <= LONGEST_CACHED:
        return _cached_path(text, dialect)
    return _parsed(text, dialect)


def _parsed(text: str, dialect: Dialect) -> Path:
    if dialect == "flow.ir":
        root, rest = _rooted(text)
        return Path(root, tuple(_old_keys(text, rest, indexed=False)))
    _, rest = _rooted(text)
    try:
        keys, end = swarm_keys(rest, 0)
    except TextFault as fault:
        raise _malformed(text, fault.rule) from None
    if end < len(rest):
        if rest[end] not in ".[" and rest[end - 1] != "]":
            # The key begins with an identifier and is none.
            end = rest.rindex(".", 0, end)
        raise _malformed(text, why_no_swarm_segment(rest, end))
    return swarm_path(keys)


_cached_path = lru_cache(4096)(_parsed)


def read_path(text: str, dialect: Dialect = "flow.ir") -> Path:
    """Read a stored path; raises InvalidPath.

    The dialect `swarm` was stored with the plain keys and without the escapes of
    `flow.ir` before; what is a path in both spellings is read as one of today.
    """
    try:
        return parse_path(text, dialect)
    except FlowError:
        if dialect == "flow.ir":
            raise
    _, rest = _rooted(text)
    return swarm_path(_old_keys(text, rest, indexed=True))


def swarm_path(keys: Iterable[Key]) -> Path:
    """Return the path with these keys in its normal form, whose root is `$`."""
    return Path("$", tuple(keys), "swarm")


def swarm_keys(text: str, at: int) -> tuple[list[Key], int]:
    """Return the keys of the longest run of segments in a text, and where it ends.

    The segments are those of the dialect `swarm`; `at` is where the run begins. Raises
    TextFault for a segment whose key or index is malformed.
    """
    keys: list[Key] = []
    while (found := _SWARM_SEGMENT.match(text, at)) is not None:
        if found["plain"] is not None:
            keys.append(found["plain"])
        elif found["index"] is not None:
            why = _why_no_index(found["index"])
            if why:
                raise TextFault(at, why)
            keys.append(int(found["index"]))
        else:
            try:
                keys.append(load_json(found["quoted"]))
            except JsonTextError as error:
                why = str(error).rpartition(": ")[2]
                raise TextFault(at, f"key {found['quoted']}: {why}") from None
        at = found.end()
    return keys, at


def why_no_swarm_segment(text: str, at: int) -> str:
    """Return why the text at a place, which is not its end, is no segment of a path."""
    rest = text[at:]
    if rest == ".":
        return "trailing '.' with no segment after it"
    if rest[0] == "." and rest[1] != "[":
        old = _OLD_PLAIN.match(rest, 1)
        if old is None:
            return "empty path segment"
        key = old[0]
        why = f"write the key '{key}' as {swarm_segment(key)}"
        return f"{why}, an element of an array as [{key}]" if key.isdecimal() else why
    if rest[0] == ".":
        rest = rest[1:]
    if rest[0] != "[":
        return "expected '.' or '[' after bracket segment"
    if rest[1:2] == "'":
        return "write the key between double quotes"
    if rest[1:2] != '"':
        return "expected '\"' or an index after '['"
    if '"' not in rest[2:]:
        return "unterminated bracket segment"
    return "missing closing ']' after key"


def swarm_segment(key: Key) -> str:
    """Return a key as a path of the dialect `swarm` writes it."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _IDENTIFIER.fullmatch(key) else f"[{dump_visible(key)}]"


def _rooted(text: str) -> tuple[str, str]:
    """Return the root token of a path text and the rest, which may be segments."""
    if not isinstance(text, str):
        raise invalid_path(f"a path must be a string, got {dump_compact(text)}")
    for root in _ROOTS:
        if text.startswith(root):
            break
    else:
        roots = "path must start with '$' or 'ctx' followed by '.', '[', or"
        raise _malformed(text, f"{roots} end-of-string")
    rest = text[len(root) :]
    if rest and rest[0] not in ".[":
        follow = "expected '.', '[', or end-of-string right after"
        raise _malformed(text, f"{follow} '{root}'")
    return root, rest


def _old_keys(text: str, rest: str, *, indexed: bool) -> list[Key]:
    """Return the keys in the spelling of `flow.ir`, and indices if the text has them."""
    if not rest:
        return []
    if rest == ".":
        raise _malformed(text, "trailing '.' with no segment after it")
    if "[" in rest:
        return _bracketed_keys(text, rest, indexed)
    keys: list[Key] = [*rest[1:].split(".")]
    if "" in keys:
        why = "empty path segment (leading, trailing, or consecutive '.')"
        raise _malformed(text, why)
    return keys


def _bracketed_keys(text: str, rest: str, indexed: bool) -> list[Key]:
    keys: list[Key] = []
    at = 0
    while at < len(rest):
        index = _INDEX.match(rest, at) if indexed else None
        found = index or _SEGMENT.match(rest, at)
        if found is None:
            raise _malformed(text, _why_no_segment(rest, at))
        keys.append(
            found["plain"] or found["quoted"] if index is None else int(index["index"])
        )
        at = found.end()
    return keys


def _why_no_index(digits: str) -> str:
    """Return why some digits are no index, nothing if they are."""
    if len(digits) > _LONGEST_INDEX:
        return f"an index has at most {_LONGEST_INDEX} characters"
    if digits != str(int(digits)):
        return f"write the index '{digits}' as '{int(digits)}'"
    return ""


def _segment(key: Key) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f'["{key}"]' if _NEEDS_BRACKETS.search(key) else f".{key}"


def _own(value: Json, owned: dict[int, Json]) -> Json:
    """Return the container if it is owned, else a copy that is owned from now on."""
    if id(value) in owned:
        return value
    value = looked_into(value)
    # The method makes a plain list of a subclass.
    copied: Json = {} if value is None else value.copy()
    owned[id(copied)] = copied
    return copied


def _why_no_segment(rest: str, at: int) -> str:
    if rest[at] == ".":
        at += 1
        if rest[at : at + 1] != "[":
            return "empty path segment"
    elif rest[at] != "[":
        return "expected '.' or '[' after bracket segment"
    if rest[at + 1 : at + 2] != '"':
        return "expected '\"' after '['"
    close = rest.find('"', at + 2)
    if close < 0:
        return "unterminated bracket segment"
    if close == at + 2:
        return "empty bracket key"
    return "missing closing ']' after key"


def _malformed(text: str, why: str) -> FlowError:
    # The reference has "invalid path syntax" twice; its texts are data.
    return invalid_path(f"invalid path syntax '{text}': {why}")
