"""Paths: the names of places in the document, by object keys only.

Grammar and canonical text: language-semantics, Paths. Arrays are never indexed.
"""

import re
from dataclasses import dataclass

from engine.flow.errors import FlowError, invalid_path, path_not_found, type_error
from engine.flow.json_text import Json, dump_compact

_ROOTS = ("$", "ctx")
# One segment of a path with brackets: `.plain`, `["key"]` or `.["key"]`.
_SEGMENT = re.compile(r'\.(?P<plain>[^.\[]+)|\.?\["(?P<quoted>[^"]+)"\]')
_NEEDS_BRACKETS = re.compile(r"[.\[\]]")


@dataclass(frozen=True, slots=True)
class Path:
    """A root token (`$` or `ctx`, equal in meaning) and the keys below it."""

    root: str
    keys: tuple[str, ...]

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
                why = (
                    f"cannot write path '{self}' at segment '{key}': existing value at "
                    f"this position is not an object ({dump_compact(ctx)})"
                )
                raise type_error("path.write", why)
            ctx = ctx.get(key)

    def __str__(self) -> str:
        return self.root + "".join(
            f'["{key}"]' if _NEEDS_BRACKETS.search(key) else f".{key}"
            for key in self.keys
        )


def disown(value: Json, owned: dict[int, Json]) -> None:
    """Takes an owned object and the owned ones below it out of `owned`.

    The walk looks at every entry of them once; the copies of the next writes would
    cost as much, so disowning costs no more than a constant part of writing.
    """
    objects = [value]
    while objects:
        entries = objects.pop()
        del owned[id(entries)]
        objects.extend([part for part in entries.values() if id(part) in owned])


def parse_path(text: str) -> Path:
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
        return Path(root, _bracketed_keys(text, rest))
    keys = tuple(rest[1:].split("."))
    if "" in keys:
        why = "empty path segment (leading, trailing, or consecutive '.')"
        raise _malformed(text, why)
    return Path(root, keys)


def _bracketed_keys(text: str, rest: str) -> tuple[str, ...]:
    keys = []
    at = 0
    while at < len(rest):
        found = _SEGMENT.match(rest, at)
        if found is None:
            raise _malformed(text, _why_no_segment(rest, at))
        keys.append(found["plain"] or found["quoted"])
        at = found.end()
    return tuple(keys)


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
    # The reference says "invalid path syntax" twice; its texts are data.
    return invalid_path(f"invalid path syntax '{text}': {why}")
