"""What a process keeps of what it read lately, bounded by bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any, Final

from cachetools import LRUCache

ENTRY_BYTES: Final = 512
"""About what an entry costs besides its text, so that many small ones are bounded too."""


class Cache:
    """A least-recently-used cache; an entry counts as the JSON text it was read from."""

    def __init__(self, most_bytes: int) -> None:
        """Keep entries of at most `most_bytes` together."""
        self._kept: LRUCache[Hashable, tuple[Any, int]] = LRUCache(
            most_bytes, getsizeof=lambda entry: entry[1] + ENTRY_BYTES
        )

    @property
    def size(self) -> int:
        """What the entries count together."""
        return int(self._kept.currsize)

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """Return the entry of a key, made with its bytes on first use."""
        found = self._kept.get(key)
        if found is None:
            found = make()
            self.put(key, *found)
        return found[0]

    def find(self, key: Hashable) -> Any:
        """Return an entry if it is kept, else None."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def drop(self, key: Hashable) -> None:
        """Keep an entry no longer."""
        self._kept.pop(key, None)

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep an entry; those not used for longest leave. What is too large is not kept."""
        self._kept.pop(key, None)
        with contextlib.suppress(ValueError):
            self._kept[key] = (value, size)
