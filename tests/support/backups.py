"""All data of a Redis as they are at one moment, to set it back to them."""

from __future__ import annotations

from typing import Any

from engine.store.redis import RedisStore
from engine.store.wire import RECONCILED


class Backup:
    """The keys of a store's server, with their times to live."""

    def __init__(self, store: RedisStore) -> None:
        """Take the data."""
        self._store = store
        names = store.wire.call("KEYS", "*")
        values = store.wire.pipeline([("DUMP", name) for name in names])
        lives = store.wire.pipeline([("PTTL", name) for name in names])
        self._kept: list[tuple[Any, ...]] = [
            ("RESTORE", name, max(0, life), value)
            for name, value, life in zip(names, values, lives, strict=True)
        ]

    def restore(self) -> None:
        """Set the server back, as one that is started anew with older data."""
        self._store.wire.call("FLUSHALL")
        self._store.wire.pipeline(self._kept)
        self._store.wire.call("SET", RECONCILED, "the process before")
