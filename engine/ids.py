"""Ids of things: a prefix that names the sort, then a UUIDv7 in hex."""

import os
import re
import threading
import time
from typing import Final, Literal, TypeAlias

Prefix: TypeAlias = Literal["T", "R", "ST", "S", "out", "h"]

SORTS: Final[dict[str, str]] = {
    "T": "task",
    "R": "run",
    "ST": "step",
    "S": "operator session",
    "out": "output",
    "h": "issue",
}
_HEX: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


class _Clock:
    """Hands out 60-bit times, each later than the last of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        """Returns milliseconds since 1970 and a 12-bit fraction of one."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() * 4096 // 1_000_000)
            return self._last

    def after_fork(self) -> None:
        """Makes a new lock: the parent's may have been held by another thread."""
        self._lock = threading.Lock()


_clock = _Clock()
os.register_at_fork(after_in_child=_clock.after_fork)


def uuid7_hex() -> str:
    """Returns a UUID of version 7 as 32 hex digits.

    Those of one process sort by age; the 62 random bits are drawn anew each time, so
    forked processes never agree. Source: RFC 9562, 6.2 method 3.
    """
    ticks = _clock.tick()
    random = int.from_bytes(os.urandom(8)) >> 2
    stamp = (ticks >> 12) << 80 | (ticks & 0xFFF) << 64
    return f"{stamp | _VERSION_7 | _VARIANT | random:032x}"


def new_id(prefix: Prefix) -> str:
    """Returns a new id such as `R-01932b...`."""
    if prefix not in SORTS:
        raise ValueError(f"unknown id prefix {prefix!r}; known: {', '.join(SORTS)}")
    return f"{prefix}-{uuid7_hex()}"


def check_id(prefix: Prefix, text: str) -> str:
    """Returns `text` if it is an id of that sort.

    Raises ValueError with a text for people that says what the id is instead.
    """
    sort = SORTS[prefix]
    found, separator, digits = text.partition("-")
    if not separator or found not in SORTS:
        raise ValueError(
            f"not a {sort} id: {text!r} (expected {prefix}-<32 hex digits>)"
        )
    if found != prefix:
        raise ValueError(
            f"not a {sort} id: {text!r} is a {SORTS[found]} id (expected {prefix}-...)"
        )
    if not _HEX.fullmatch(digits):
        raise ValueError(
            f"not a {sort} id: {text!r} (expected 32 lower-case hex digits "
            f"after {prefix}-)"
        )
    return text
