"""The steps of an ended or running run as rows: lanes and long loops are one row each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from engine.run.place_names import ANY, PlaceNames
from engine.run.states import OPEN_STEP, StepStatus

SHOWN_VISITS: Final = 8
"""The iterations of a step in a loop that have a row each; more of them share one."""
ORDER: Final = (
    StepStatus.FAILED,
    StepStatus.LOST,
    StepStatus.RUNNING,
    StepStatus.PENDING,
    StepStatus.BLOCKED,
    StepStatus.CANCELLED,
    StepStatus.SKIPPED,
)
"""The status that a row of several steps has: the first one that occurs, else passed."""

_LANE: Final = re.compile(r"/lane\[\d+\]")
_VISIT: Final = re.compile(r"/(lane|body)\[\d+\]")


@dataclass
class StepRow:
    """One step, or all visits to one node; `steps` are those of a run's report."""

    place: str
    name: str
    steps: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def agent(self) -> str:
        """The agent of the steps."""
        return str(self.steps[0]["agent"])

    @property
    def status(self) -> str:
        """The status of the steps together."""
        found = {step["status"] for step in self.steps}
        return next((one for one in ORDER if one in found), StepStatus.PASSED)

    @property
    def seconds(self) -> float | None:
        """The time from the first start to the last end; None while one is open."""
        spans = [
            (datetime.fromisoformat(step["started_at"]).timestamp(), step["seconds"])
            for step in self.steps
            if step["started_at"] and step["seconds"] is not None
        ]
        if not spans or any(step["status"] in OPEN_STEP for step in self.steps):
            return None
        begin = min(start for start, _ in spans)
        end: float = max(start + took for start, took in spans)
        return round(end - begin, 3)

    @property
    def words(self) -> str:
        """How many steps there are and how they ended, or the number of attempts."""
        if ANY not in self.place:
            tries = self.steps[0]["attempts"]
            return f"{tries} attempts" if tries > 1 else ""
        counts = Counter(step["status"] for step in self.steps)
        lanes, loops = f"/lane{ANY}" in self.place, f"/body{ANY}" in self.place
        visits = "visits" if lanes and loops else "lanes" if lanes else "iterations"
        ends = ", ".join(f"{n} {status}" for status, n in counts.most_common())
        return f"{len(self.steps)} {visits}: {ends}"


def folded(steps: Iterable[Mapping[str, Any]], names: PlaceNames) -> list[StepRow]:
    """Return the steps of a run's report as rows, in their order."""
    by_lane: dict[str, list[Mapping[str, Any]]] = {}
    for step in steps:
        place = _LANE.sub(f"/lane{ANY}", step["place"])
        by_lane.setdefault(place, []).append(step)
    nodes: dict[str, list[str]] = {}
    for place in by_lane:
        nodes.setdefault(_VISIT.sub(rf"/\1{ANY}", place), []).append(place)
    rows = []
    for node, places in nodes.items():
        if len(places) > SHOWN_VISITS:
            steps = [step for place in places for step in by_lane[place]]
            rows.append(StepRow(node, names.name(node), steps))
            continue
        for place in places:
            first, *others = by_lane[place]
            # A single lane is no group.
            at = place if others else first["place"]
            rows.append(StepRow(at, names.name(at), by_lane[place]))
    return rows
