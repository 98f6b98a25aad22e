"""The consumer of a Celery worker, which pauses before it connects again."""

from __future__ import annotations

import time
from typing import Any, Final

from celery.worker.consumer import Consumer

PAUSE_S: Final = 0.5
"""The least time between two connections to the broker, in seconds.

Celery itself logs a traceback for five within a second.
"""


class PausingConsumer(Consumer):  # type: ignore[misc]
    """Connects to the broker at most once in `PAUSE_S`.

    A server that refuses writes (its replicas are away, its disk is full) accepts each
    connection and fails the first command, so Celery would reconnect without a pause.
    """

    _connected_at = float("-inf")

    def connect(self) -> Any:
        """Return a connection to the broker; the first one needs no pause."""
        time.sleep(max(0.0, self._connected_at + PAUSE_S - time.monotonic()))
        self._connected_at = time.monotonic()
        return super().connect()
