"""Where two JSON values differ: by key, and by name in lists of named things."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.flow import Dialect, FlowError, dump_compact, parse_expr
from engine.flow.errors import place_step
from engine.flow.json_text import Json

ABSENT: Final = object()
"""Stands for the value of a key that an object does not have."""

Difference: TypeAlias = tuple[str, Json, Json]
"""A place below the compared values, and the old and the new value there."""


@dataclass(frozen=True, slots=True)
class Dialects:
    """The dialects of the expressions in the old and in the new value."""

    old: Dialect
    new: Dialect


def differences(
    old: Json, new: Json, dialects: Dialects, at: str = ""
) -> Iterator[Difference]:
    """Yield where two values differ, at the smallest parts that have a name."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*new, *(key for key in old if key not in new)):
            here, there = old.get(key, ABSENT), new.get(key, ABSENT)
            step = place_step(key)
            if f"{at}{step}".endswith(".limit.key") and _same_expr(
                here, there, dialects
            ):
                continue
            yield from differences(here, there, dialects, f"{at}{step}")
        return
    first, second = by_name(old), by_name(new)
    if first is not None and second is not None:
        yield from differences(first, second, dialects, at)
        kept = [name for name in first if name in second]
        now = [name for name in second if name in first]
        if kept != now:
            yield f"{at}.order", kept, now
    elif not same(old, new):
        yield at.removeprefix("."), old, new


def same(old: Json, new: Json) -> bool:
    """Return whether two values are the same JSON; 1, 1.0 and true are three values."""
    if old is ABSENT or new is ABSENT or type(old) is not type(new):
        return old is new
    return dump_compact(old) == dump_compact(new)


def by_name(value: Json) -> dict[str, Json] | None:
    """Return the things of a list by their names, None if one has none of its own."""
    if not isinstance(value, list) or not value:
        return None
    found = {
        one["name"]: one
        for one in value
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    }
    return found if len(found) == len(value) else None


def leaves_of(value: Json, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield the parts of a value that are no objects: their places and their texts."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves_of(part, f"{at}{place_step(key)}")
    else:
        yield at, dump_compact(value)


def _same_expr(old: Json, new: Json, dialects: Dialects) -> bool:
    """Return whether two values are forms of one expression."""
    if old is ABSENT or new is ABSENT:
        return False
    try:
        here, there = parse_expr(old, dialects.old), parse_expr(new, dialects.new)
    except FlowError:
        return False
    return same(here.to_json(), there.to_json())
