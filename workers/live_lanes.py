"""The lanes of one fanout as a person sees them: one status, one line of counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

SHOWN_LANES: Final = 8
"""A fanout of more lanes than this is one line."""


@dataclass
class Group:
    """The lanes of one fanout; `lanes` maps an index to its latest step's status.

    `over` says that the run has ended, joined or not.
    """

    place: str
    size: int = 0
    lanes: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    joined: bool = False
    over: bool = False

    def note(self, lane: int, status: str) -> None:
        """Note where a lane stands."""
        old = self.lanes.get(lane)
        if old is not None:
            self.counts[old] -= 1
        self.lanes[lane] = status
        self.counts[status] += 1
        self.size = max(self.size, lane + 1)

    @property
    def wide(self) -> bool:
        """Tell whether it is shown as one line."""
        return self.size > SHOWN_LANES

    @property
    def done(self) -> int:
        """The number of lanes whose latest step has ended well."""
        return self.counts["passed"] + self.counts["blocked"]

    @property
    def under_way(self) -> int:
        """The number of lanes that have begun and not ended."""
        return sum(self.counts[status] for status in ("pending", "running", "retry"))

    @property
    def status(self) -> str:
        """The status that stands for all lanes, those that have not begun too."""
        if self.counts["failed"] or self.counts["lost"]:
            return "failed"
        if self.joined or self.done >= self.size:
            return "passed"
        return "cancelled" if self.over else "running"

    def summary(self) -> str:
        """Return the line for all lanes."""
        parts = [f"lane[0..{self.size - 1}] {self.done}/{self.size} done"]
        for status in ("running", "retry", "failed", "lost", "cancelled"):
            if self.counts[status]:
                parts.append(f"{self.counts[status]} {status}")
        return ", ".join(parts)
