"""Reads what agents said while they worked, from the archived journal of a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from blueprints.models import Run, RunEvent
from blueprints.models.readable_json import Unreadable
from engine.run.outputs import Artifact, Final, Progress, from_wire


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
    events = RunEvent.objects.filter(run=run, generation=run.generation, says=True)
    if place:
        events = events.annotate(text=Cast("data", TextField())).filter(
            text__contains=json.dumps(place)
        )
    found = events.order_by("number").values_list("at", "data")
    for at, data in found.iterator():
        if isinstance(data, Unreadable):
            continue
        for event in data["e"]:
            if event[0] != "output" or (place and event[1] != place):
                continue
            for number, wire in enumerate(event[4], event[3]):
                yield Said(event[1], event[2], number, at, wire)


@dataclass(slots=True)
class StepSaid:
    """What a step's latest attempt staged and ended with, and its latest progress.

    `parts` are ContentRefs by name; `final` is the wire form of the last one, None while
    there is none. A content that was too large for the journal is
    `{"kind": "omitted", "size"}`; the step's result has it.
    """

    progress: Progress = field(default_factory=lambda: Progress(""))
    attempt: int = 0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    final: dict[str, Any] | None = None


def steps_said(run: Run, *, place: str = "") -> dict[str, StepSaid]:
    """Returns what each step said, or the one at a place, by its place; in one pass."""
    found: dict[str, StepSaid] = {}
    for said in run_outputs(run, place=place):
        step = found.setdefault(said.place, StepSaid())
        if said.attempt > step.attempt:
            step.attempt, step.parts, step.final = said.attempt, {}, None
        match from_wire(said.wire):
            case Progress() as event:
                step.progress = event
            case Artifact(name=name) if said.attempt == step.attempt:
                step.parts[name] = said.wire["content"]
            case Final() if said.attempt == step.attempt:
                step.final = said.wire
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
