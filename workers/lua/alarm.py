"""A time limit on Python code in a main thread, where a signal can interrupt it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeIsUp(BaseException):
    """Raised inside code whose time is up; no `except Exception` catches it."""


def _ring(signum: int, frame: FrameType | None) -> None:
    raise TimeIsUp


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Raise TimeoutError in the block at a time of the monotonic clock.

    In other threads nothing is interrupted; there the keeper's net holds.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        try:
            signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, left)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeIsUp:
        raise TimeoutError from None
