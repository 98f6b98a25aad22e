"""Paths: the names of places in the document, by object keys.

Grammar and canonical text: language-semantics, Paths. Only the dialect `swarm` has
indices of arrays, `[0]` and `[-1]`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.flow.errors import FlowError, invalid_path, path_not_found, type_error
from engine.flow.grammar import Dialect
from engine.flow.json_text import Json, dump_compact

Key = str | int

_ROOTS = ("$", "ctx")
# One segment of a path with brackets: `.plain`, `["key"]` or `.["key"]`.
_SEGMENT = re.compile(r'\.(?P<plain>[^.\[]+)|\.?\["(?P<quoted>[^"]+)"\]')
_INDEX = re.compile(r"\.?\[(?P<index>-?[0-9]+)\]")
# No array is longer, and more digits would not fit the stored form of a path.
_LONGEST_INDEX = 9
_NEEDS_BRACKETS = re.compile(r"[.\[\]]")


@dataclass(frozen=True, slots=True)
class Path:
    """A root token (`$` or `ctx`, equal in meaning) and the keys below it."""

    root: str
    keys: tuple[Key, ...]

    def read(self, ctx: Json) -> Json:
        """Returns the value at this path; raises PathNotFound."""
        for key in self.keys:
            if not isinstance(ctx, dict) or key not in ctx:
                raise path_not_found(str(self))
            ctx = ctx[key]
        return ctx

    def write(self, ctx: Json, value: Json) -> Json:
        """Returns `ctx` with `value` at this path, sharing all that is not on it.

        Absent and null places on the way become objects. Raises TypeError of
        'path.write' at any other value that is no object.
        """
        return self.write_owned(ctx, value, {})

    def write_owned(self, ctx: Json, value: Json, owned: dict[int, Json]) -> Json:
        """Writes like `write`, but in place where a container on the way is owned.

        `owned` maps ids to the containers that may be changed; the copies made here
        are added to it. Raises before anything is changed.
        """
        if not self.keys:
            return value
        self._require_objects(ctx)
        if id(ctx) not in owned:
            ctx = {} if ctx is None else dict(ctx)
            owned[id(ctx)] = ctx
        place = ctx
        for key in self.keys[:-1]:
            below = place.get(key)
            if id(below) not in owned:
                below = {} if below is None else dict(below)
                owned[id(below)] = below
                place[key] = below
            place = below
        last = self.keys[-1]
        replaced = place.get(last)
        if id(replaced) in owned:
            disown(replaced, owned)
        place[last] = value
        return ctx

    def _require_objects(self, ctx: Json) -> None:
        for key in self.keys:
            if ctx is None:
                return
            if not isinstance(ctx, dict):
                raise self._in_the_way(str(key), ctx, "an object")
            ctx = ctx.get(key)

    def _in_the_way(self, segment: str, value: Json, wanted: str) -> FlowError:
        why = (
            f"cannot write path '{self}' at segment '{segment}': existing value at "
            f"this position is not {wanted} ({dump_compact(value)})"
        )
        return type_error("path.write", why)

    def __str__(self) -> str:
        return self.root + "".join(map(_segment, self.keys))


@dataclass(frozen=True, slots=True)
class IndexedPath(Path):
    """A path of the dialect `swarm`: an integer key is an index of an array."""

    def read(self, ctx: Json) -> Json:
        """Returns the value at this path; raises PathNotFound, also out of range."""
        for key in self.keys:
            if isinstance(key, int):
                if not isinstance(ctx, list) or not -len(ctx) <= key < len(ctx):
                    raise path_not_found(str(self))
            elif not isinstance(ctx, dict) or key not in ctx:
                raise path_not_found(str(self))
            ctx = ctx[key]
        return ctx

    def write_owned(self, ctx: Json, value: Json, owned: dict[int, Json]) -> Json:
        """Writes like a path without indices, and changes elements that exist.

        Raises PathNotFound where an element does not exist: nothing is padded.
        """
        self._require_places(ctx)
        ctx = place = _own(ctx, owned)
        for key in self.keys[:-1]:
            below = place.get(key) if isinstance(key, str) else place[key]
            if id(below) not in owned:
                below = place[key] = _own(below, owned)
            place = below
        last = self.keys[-1]
        replaced = place.get(last) if isinstance(last, str) else place[last]
        if id(replaced) in owned:
            disown(replaced, owned)
        place[last] = value
        return ctx

    def _require_places(self, ctx: Json) -> None:
        for key in self.keys:
            if isinstance(key, str):
                if ctx is not None and not isinstance(ctx, dict):
                    raise self._in_the_way(key, ctx, "an object")
                ctx = None if ctx is None else ctx.get(key)
                continue
            if ctx is not None and not isinstance(ctx, list):
                raise self._in_the_way(f"[{key}]", ctx, "an array")
            if ctx is None or not -len(ctx) <= key < len(ctx):
                raise path_not_found(str(self))
            ctx = ctx[key]


def path_of(root: str, keys: Sequence[Key]) -> Path:
    """Returns the path of a root token and keys, as `parse_path` would."""
    indexed = any(isinstance(key, int) for key in keys)
    return (IndexedPath if indexed else Path)(root, tuple(keys))


def disown(value: Json, owned: dict[int, Json]) -> None:
    """Takes an owned container and the owned ones below it out of `owned`.

    The walk looks at every entry of them once; the copies of the next writes would
    cost as much, so disowning costs no more than a constant part of writing.
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
    """Reads a path from text; raises InvalidPath with the text and the reason."""
    if not isinstance(text, str):
        raise invalid_path(f"a path must be a string, got {dump_compact(text)}")
    for root in _ROOTS:
        if text.startswith(root):
            break
    else:
        roots = "path must start with '$' or 'ctx' followed by '.', '[', or"
        raise _malformed(text, f"{roots} end-of-string")
    rest = text[len(root) :]
    if not rest:
        return Path(root, ())
    if rest[0] not in ".[":
        follow = "expected '.', '[', or end-of-string right after"
        raise _malformed(text, f"{follow} '{root}'")
    if rest == ".":
        raise _malformed(text, "trailing '.' with no segment after it")
    if "[" in rest:
        return path_of(root, _bracketed_keys(text, rest, dialect))
    keys = tuple(rest[1:].split("."))
    if "" in keys:
        why = "empty path segment (leading, trailing, or consecutive '.')"
        raise _malformed(text, why)
    return Path(root, keys)


def _bracketed_keys(text: str, rest: str, dialect: Dialect) -> list[Key]:
    keys: list[Key] = []
    at = 0
    while at < len(rest):
        index = _INDEX.match(rest, at) if dialect == "swarm" else None
        found = index or _SEGMENT.match(rest, at)
        if found is None:
            raise _malformed(text, _why_no_segment(rest, at, dialect))
        keys.append(
            found["plain"] or found["quoted"]
            if index is None
            else _read_index(text, index["index"])
        )
        at = found.end()
    return keys


def _read_index(text: str, digits: str) -> int:
    if len(digits) > _LONGEST_INDEX:
        raise _malformed(text, f"an index has at most {_LONGEST_INDEX} characters")
    if digits != str(int(digits)):
        raise _malformed(text, f"write the index '{digits}' as '{int(digits)}'")
    return int(digits)


def _segment(key: Key) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f'["{key}"]' if _NEEDS_BRACKETS.search(key) else f".{key}"


def _own(value: Json, owned: dict[int, Json]) -> Json:
    """Returns a container that may be changed: an owned one, or a copy from now on."""
    if id(value) in owned:
        return value
    copied: Json = {}
    if value is not None:
        # Not `copy`: a list of another class would stay of that class.
        copied = list(value) if isinstance(value, list) else dict(value)
    owned[id(copied)] = copied
    return copied


def _why_no_segment(rest: str, at: int, dialect: Dialect) -> str:
    if rest[at] == ".":
        at += 1
        if rest[at : at + 1] != "[":
            return "empty path segment"
    elif rest[at] != "[":
        return "expected '.' or '[' after bracket segment"
    if rest[at + 1 : at + 2] != '"':
        index = " or an index" if dialect == "swarm" else ""
        return f"expected '\"'{index} after '['"
    close = rest.find('"', at + 2)
    if close < 0:
        return "unterminated bracket segment"
    if close == at + 2:
        return "empty bracket key"
    return "missing closing ']' after key"


def _malformed(text: str, why: str) -> FlowError:
    # The reference says "invalid path syntax" twice; its texts are data.
    return invalid_path(f"invalid path syntax '{text}': {why}")
