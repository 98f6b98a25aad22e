"""Ids: a prefix that names the kind of thing, then a UUIDv7 in hex."""

import hashlib
import os
import re
import threading
import time
from typing import Final, Literal, TypeAlias

Prefix: TypeAlias = Literal["T", "R", "ST", "S", "out", "h"]

KINDS: Final[dict[str, str]] = {
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
    """Returns 60-bit times, each later than the last one of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        """Return milliseconds since 1970 and a 12-bit fraction of one."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() * 4096 // 1_000_000)
            return self._last

    def after_fork(self) -> None:
        """Make a new lock: another thread of the parent may have locked the old one."""
        self._lock = threading.Lock()


_clock = _Clock()
os.register_at_fork(after_in_child=_clock.after_fork)


def uuid7_hex() -> str:
    """Return a UUID of version 7 as 32 hex digits.

    The UUIDs of one process sort by age. Each has 62 new random bits, so forked processes
    never return the same. Source: RFC 9562, 6.2 method 3.
    """
    ticks = _clock.tick()
    random = int.from_bytes(os.urandom(8)) >> 2
    stamp = (ticks >> 12) << 80 | (ticks & 0xFFF) << 64
    return f"{stamp | _VERSION_7 | _VARIANT | random:032x}"


def new_id(prefix: Prefix) -> str:
    """Return a new id such as `R-01932b...`."""
    if prefix not in KINDS:
        raise ValueError(f"unknown id prefix {prefix!r}; known: {', '.join(KINDS)}")
    return f"{prefix}-{uuid7_hex()}"


def step_id(run: str, line: int, place: str) -> str:
    """Return a step's id: `ST-` and 32 hex, a function of run, line and place.

    A line is named by the generation that began it; a recovery continues it. All attempts
    of a step share the id, so agents can use it as their idempotency key.
    """
    text = f"{run}/{line}/{place}".encode()
    return "ST-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def check_id(prefix: Prefix, text: str) -> str:
    """Return `text` if it is an id with this prefix.

    Raises ValueError with a text for people that says what the text is instead.
    """
    kind = KINDS[prefix]
    found, separator, digits = text.partition("-")
    if not separator or found not in KINDS:
        raise ValueError(
            f"not a {kind} id: {text!r} (expected {prefix}-<32 hex digits>)"
        )
    if found != prefix:
        raise ValueError(
            f"not a {kind} id: {text!r} is a {KINDS[found]} id (expected {prefix}-...)"
        )
    if not _HEX.fullmatch(digits):
        raise ValueError(
            f"not a {kind} id: {text!r} (expected 32 lower-case hex digits "
            f"after {prefix}-)"
        )
    return text
