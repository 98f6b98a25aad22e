"""A store of outputs in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Lock

from engine.output_store import OutputMissing, OutputsAway, name_of


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryOutputStore:
    """An OutputStore in memory, for one process."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        """Start empty; `now` returns the time of a put."""
        self.away = False
        """Set it to make every call raise OutputsAway."""
        self._now = now
        self._lock = Lock()
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    def put(self, content: bytes) -> str:
        """Keep a content and return its name."""
        self._require()
        sha256 = name_of(content)
        with self._lock:
            self._kept[sha256] = (bytes(content), self._now())
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return a content."""
        self._require()
        found = self._kept.get(sha256)
        if found is None:
            raise OutputMissing(f"the store has no output {sha256}")
        return found[0]

    def delete_older(self, sha256: str, before: datetime) -> bool:
        """Delete a content if its last put was before a time; return whether it was."""
        self._require()
        with self._lock:
            found = self._kept.get(sha256)
            if found is None or found[1] >= before:
                return False
            del self._kept[sha256]
            return True

    def stamps(self, after: str) -> Iterator[tuple[str, datetime]]:
        """Yield the names greater than `after`, in order, with the times of their last puts."""
        self._require()
        with self._lock:
            found = sorted((name, at) for name, (_, at) in self._kept.items())
        yield from (one for one in found if one[0] > after)

    def _require(self) -> None:
        if self.away:
            raise OutputsAway("the test says that the outputs are away")
