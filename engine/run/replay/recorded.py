"""The outputs of a replay: what its run has put, and what it would put again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from cachetools import LRUCache

from engine.output_store import OutputMissing, OutputStore, holds, name_of

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
        if len(content) > KEPT_BYTES:
            self._forget(sha256, content)
            return sha256
        self._kept.pop(sha256, None)
        while self._kept.currsize + len(content) > KEPT_BYTES:
            self._forget(*self._kept.popitem())
        self._kept[sha256] = content
        return sha256

    def _forget(self, sha256: str, content: bytes) -> None:
        """Remember a content no longer: the run has put it."""

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


class RemadeOutputs(RecordedOutputs):
    """The outputs of replays with which another generation begins.

    Another version of the program, or a worker with another inline limit, makes the replay
    keep what the run has put nowhere.
    """

    def __init__(self, store: OutputStore) -> None:
        """Put into `store` what the generation needs and it lacks."""
        super().__init__(store)
        self._into = store

    def _forget(self, sha256: str, content: bytes) -> None:
        # Without a reference to it, a sweep deletes it again.
        if not holds(self._into, sha256):
            self._into.put(content)

    def ensure(self, names: Iterable[str]) -> None:
        """Make sure that the store has all contents that a generation needs.

        Raises OutputMissing for one that it lacks and no replay has made, and OutputsAway.
        """
        for sha256 in sorted(names):
            if (found := self._kept.get(sha256)) is not None:
                self._into.put(found)
            elif not holds(self._into, sha256):
                raise OutputMissing(f"its output {sha256} is no longer in the store")
