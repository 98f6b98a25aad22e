"""Where values are kept that are too large for the Ctx.

A content is JSON text, and its SHA-256 is its name. The stores are members of an open
set (`settings.SWARM`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol


class OutputsAway(Exception):
    """Tell that the store can't be read or written now.

    The transition waits, as with a full Redis. No flow can catch it.
    """


class OutputMissing(LookupError):
    """Tell that the store does not have a content, or has another one under its name."""


class OutputStore(Protocol):
    """Keeps contents by their SHA-256 (64 hexadecimal digits)."""

    def put(self, content: bytes) -> str:
        """Keep a content and return its name; raises OutputsAway.

        A content that is there already gets the time of this put, atomically against
        `delete_older`.
        """

    def get(self, sha256: str) -> bytes:
        """Return a content whose hash was checked; raises OutputMissing, OutputsAway."""

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete a content if its last put was before a time; return whether it was.

        Raises OutputsAway.
        """

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names greater than `after`, in order, with the times of their last puts.

        Raises OutputsAway.
        """


def holds(store: OutputStore, sha256: str) -> bool:
    """Return whether a store has a content; raises OutputsAway."""
    # No other name is between the two.
    before = f"{max(0, int(sha256, 16) - 1):064x}"
    return next(iter(store.stamps(before)), ("",))[0] == sha256


def name_of(content: bytes) -> str:
    """Return the name of a content."""
    return hashlib.sha256(content).hexdigest()
