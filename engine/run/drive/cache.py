"""A cache of parsed values, bounded by the bytes of their texts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any, Final

from cachetools import LRUCache

ENTRY_BYTES: Final = 512
"""The approximate cost of an entry besides its text; it bounds many small entries."""


class Cache:
    """A least-recently-used cache; the size of an entry is that of its JSON text."""

    def __init__(self, most_bytes: int) -> None:
        """Keep entries of at most `most_bytes` together."""
        self.kept: LRUCache[Hashable, tuple[Any, int]] = LRUCache(
            most_bytes, getsizeof=lambda entry: entry[1] + ENTRY_BYTES
        )

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """Return the entry of a key; `make` returns it and its size on first use."""
        found = self.kept.get(key)
        if found is None:
            found = make()
            self.put(key, *found)
        return found[0]

    def find(self, key: Hashable) -> Any:
        """Return the entry of a key, or None."""
        found = self.kept.get(key)
        return None if found is None else found[0]

    def drop(self, key: Hashable) -> None:
        """Remove an entry."""
        self.kept.pop(key, None)

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Add an entry in place of the least recently used ones; ignore one that is too large."""
        self.kept.pop(key, None)
        with contextlib.suppress(ValueError):
            self.kept[key] = (value, size)
