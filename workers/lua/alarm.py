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

    In other threads nothing is interrupted; there the keeper's net holds. An alarm that
    was set before goes on, and is left alone if it is the earlier one.
    """
    now = time.monotonic()
    left = deadline - now
    if left <= 0:
        raise TimeoutError
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < outer < left:
        yield
        return
    handler = signal.getsignal(signal.SIGALRM)
    try:
        try:
            signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, left)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
            if outer:
                rest = outer - (time.monotonic() - now)
                signal.setitimer(signal.ITIMER_REAL, max(rest, 0.001))
    except TimeIsUp:
        raise TimeoutError from None
