"""A time limit on Python code in a main thread, where a signal can interrupt it."""

from __future__ import annotations

import logging
import signal
import threading
import time

# The function below signal.getsignal, which spends 5 µs on looking for an enum.
from _signal import getsignal  # type: ignore[import-not-found]
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

WAIT_S = 0.005
MOST_WAITS = 100
"""How often the alarm waits for the end of a logging call: half a second in all."""
LOGGING = logging.getLogger.__code__.co_filename
RING_AGAIN_S = 1.0
"""After how long an alarm rings again whose error a finalizer has swallowed."""


class TimeIsUp(BaseException):
    """The time of the running code is up; no `except Exception` catches this."""


@dataclass(slots=True)
class _Alarm:
    """The alarm that is set."""

    waits: int = 0
    """How often it has waited for the end of a logging call."""


_alarm = _Alarm()


def _ring(signum: int, frame: FrameType | None) -> None:
    """Raise TimeIsUp, outside of calls to logging.

    An error raised right after a handler's lock is acquired would leave it locked for
    ever, and every thread that logs would wait (python/cpython#74174).
    """
    if _alarm.waits < MOST_WAITS and _is_logging(frame):
        _alarm.waits += 1
        signal.setitimer(signal.ITIMER_REAL, WAIT_S, RING_AGAIN_S)
        return
    raise TimeIsUp


def _is_logging(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == LOGGING:
            return True
        frame = frame.f_back
    return False


def set_alarm(seconds: float) -> None:
    """Have TimeIsUp raised in this thread, the main one, after some seconds."""
    # The check costs less than installing the handler again, which is needed where an
    # agent's code has installed another.
    if getsignal(signal.SIGALRM) is not _ring:
        signal.signal(signal.SIGALRM, _ring)
    _alarm.waits = 0
    signal.setitimer(signal.ITIMER_REAL, seconds, RING_AGAIN_S)


def stop_alarm() -> None:
    """Cancel the alarm."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Raise TimeoutError in the block at a time of the monotonic clock.

    In other threads nothing is interrupted; there the keeper ends the process later. An
    alarm that was set before continues, and rings itself if it is the earlier one.
    """
    now = time.monotonic()
    left = deadline - now
    if left <= 0:
        raise TimeoutError
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, again = signal.getitimer(signal.ITIMER_REAL)
    if 0 < outer < left:
        yield
        return
    handler = getsignal(signal.SIGALRM)
    try:
        try:
            set_alarm(left)
            yield
        finally:
            stop_alarm()
    except TimeIsUp:
        # It may have rung before the timer was stopped above, and would ring again.
        stop_alarm()
        raise TimeoutError from None
    finally:
        if outer:
            signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
            rest = outer - (time.monotonic() - now)
            signal.setitimer(signal.ITIMER_REAL, max(rest, 0.001), again)
