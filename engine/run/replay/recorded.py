"""The outputs of a replay: what its run has put, and what it would put again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cachetools import LRUCache

from engine.output_store import OutputMissing, OutputStore, name_of

KEPT_BYTES: Final = 32 << 20
"""What a replay remembers of the contents that it would put."""


class RecordedOutputs:
    """An OutputStore that writes nothing: the run that is replayed has put the contents.

    What the replay puts is remembered up to KEPT_BYTES. Everything else is read from the
    store of the run, once an expression looks into it.
    """

    def __init__(self, store: OutputStore | None) -> None:
        """Read from `store`; without one only what the replay puts can be read."""
        self._store = store
        self._kept: LRUCache[str, bytes] = LRUCache(KEPT_BYTES, getsizeof=len)

    def put(self, content: bytes) -> str:
        """Return the name of a content."""
        sha256 = name_of(content)
        if len(content) <= KEPT_BYTES:
            self._kept[sha256] = content
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return a content; raises OutputMissing, OutputsAway."""
        found = self._kept.get(sha256)
        if found is not None:
            return found
        if self._store is None:
            raise OutputMissing(f"there is no store of outputs here to read {sha256}")
        return self._store.get(sha256)

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete nothing."""
        return False

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield nothing."""
        return iter(())
