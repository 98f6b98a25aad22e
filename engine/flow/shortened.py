"""A short form of a JSON value for people, made without reading all of a large value."""

from __future__ import annotations

from itertools import islice
from typing import Final

from engine.flow.json_text import Json
from engine.flow.offloaded import looked_into

MARK: Final = "…"


def shortened(
    value: Json, *, items: int = 3, keys: int = 8, depth: int = 3, text: int = 60
) -> Json:
    """Return a copy with the first items, keys and characters of each part.

    What is left out is counted: `"… 997 more"` ends a list, a key `…` an object.
    Containers deeper than `depth` are their size alone.
    """
    value = looked_into(value)
    match value:
        case str() if len(value) > text:
            return f"{value[:text]}{MARK} {len(value) - text} more characters"
        case list() | dict() if value and depth == 0:
            what = "items" if isinstance(value, list) else "keys"
            return f"{MARK} {len(value)} {what}"
        case list():
            below = [
                shortened(one, items=items, keys=keys, depth=depth - 1, text=text)
                for one in islice(value, items)
            ]
            left = len(value) - items
            return [*below, f"{MARK} {left} more"] if left > 0 else below
        case dict():
            shown = {
                key: shortened(one, items=items, keys=keys, depth=depth - 1, text=text)
                for key, one in islice(value.items(), keys)
            }
            left = len(value) - keys
            return {**shown, MARK: f"{left} more keys"} if left > 0 else shown
    return value
