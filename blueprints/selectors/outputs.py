"""Reads what agents said while they worked, from the archived journal of a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from blueprints.models import Run, RunEvent
from engine.run.outputs import Progress, from_wire


@dataclass(frozen=True, slots=True)
class Said:
    """One output event: number `number` of an attempt, in wire form; `at` is about when."""

    place: str
    attempt: int
    number: int
    at: datetime
    wire: dict[str, Any]


def run_outputs(run: Run, *, place: str = "") -> Iterator[Said]:
    """Yields what the steps of a run's generation said, or the one at a place, in order."""
    events = (
        RunEvent.objects.filter(run=run, generation=run.generation)
        .annotate(text=Cast("data", TextField()))
        .filter(text__contains='"output"')
        .order_by("number")
    )
    if place:
        events = events.filter(text__contains=json.dumps(place))
    for at, data in events.values_list("at", "data").iterator():
        for event in data["e"]:
            if event[0] != "output" or (place and event[1] != place):
                continue
            for number, wire in enumerate(event[4], event[3]):
                yield Said(event[1], event[2], number, at, wire)


def run_progress(run: Run) -> dict[str, Progress]:
    """Returns the latest progress of each step that told any, by its place."""
    found: dict[str, Progress] = {}
    for said in run_outputs(run):
        event = from_wire(said.wire)
        if isinstance(event, Progress):
            found[said.place] = event
    return found


def run_log(run: Run, *, newest: int) -> tuple[list[Said], int]:
    """Returns the newest log lines of a run, oldest first, and how many there are."""
    lines: list[Said] = []
    total = 0
    for said in run_outputs(run):
        if said.wire["type"] in ("log", "truncated"):
            total += 1
            lines.append(said)
            if len(lines) > 2 * newest:
                del lines[:newest]
    return lines[-newest:], total


def log_text(said: Said) -> str:
    """Returns a log line as people read it."""
    if said.wire["type"] == "truncated":
        return f"(output truncated: {said.wire['why']})"
    return str(said.wire["text"])


def step_parts(run: Run, place: str) -> dict[str, Any]:
    """Returns the parts a step's latest attempt staged: ContentRefs by name.

    A content that was too large for the journal is `{"kind": "omitted", "size"}`; the
    step's result has it.
    """
    latest, parts = 0, {}
    for said in run_outputs(run, place=place):
        if said.attempt > latest:
            latest, parts = said.attempt, {}
        if said.wire["type"] == "artifact" and said.attempt == latest:
            parts[said.wire["name"]] = said.wire["content"]
    return parts
