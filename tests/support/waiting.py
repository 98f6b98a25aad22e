"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    true: Callable[[], object],
    seconds: float = 20,
    otherwise: str = "it did not happen in time",
) -> float:
    """Wait until something is true, or fail; returns how many seconds that took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, otherwise
        time.sleep(0.01)
    return time.monotonic() - begun


def eventually(true: Callable[[], object], seconds: float = 20) -> bool:
    """Return whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not (is_true := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return bool(is_true)
