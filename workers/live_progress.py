"""What is known of a run that goes on: its steps, fanouts, and what they say."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.blueprint import Program
from engine.flow.nodes import Step
from engine.run.entry_shape import BadEntry, events_of
from engine.run.events import took_ms
from engine.run.layout import Layout
from engine.run.outputs import shown_content
from engine.run.states import StepStatus
from engine.store.base import JournalEntry
from workers.live_lanes import Group
from workers.live_text import SHOWN_CONTENT, final_text, stage_text

LANE: Final = re.compile(r"(.*?)/lane\[(\d+)\]", re.DOTALL)
RUN_ENDS: Final = {
    "run_done": "done",
    "run_failed": "failed",
    "run_cancelled": "cancelled",
}
STEP_ENDS: Final = {
    "passed": "passed",
    "blocked": "blocked",
    "failed": "failed",
    "timed_out": "failed",
    "step_lost": "lost",
}
OPEN: Final = ("pending", "running", "retry")
LOST: Final = "its worker died or lost its lease"
TURN: Final = re.compile(r"/lane\[\d+\]|\[\d+\]")
"""What a place has of its own beyond that of its node."""


@dataclass
class StepLine:
    """One step as far as it is known."""

    place: str
    agent: str = ""
    status: str = "pending"
    attempt: int = 0
    began_ms: int = 0
    ended_ms: int = 0
    text: str = ""
    stage: str = ""
    note: str = ""
    piece: str = ""

    def seconds(self, now_ms: int) -> float | None:
        """Return how long its latest attempt took or takes."""
        if not self.began_ms:
            return None
        return max(0, (self.ended_ms or now_ms) - self.began_ms) / 1000


@dataclass(frozen=True)
class Line:
    """Something a step said: its progress, its log, pieces and parts, its finals."""

    step: StepLine
    sort: str
    text: str
    stage: str = ""


class Progress:
    """What is known of a run; fed with rows of the archive and entries of the journal."""

    def __init__(
        self,
        run: str,
        title: str,
        kinds: Mapping[str, str],
        agents: Mapping[str, str] | None = None,
    ) -> None:
        """Know nothing yet; `kinds` maps agent names to kinds, `agents` see agents_at."""
        self.run = run
        self.title = title
        self.kinds = kinds
        self._agents = agents or {}
        self.steps: dict[str, StepLine] = {}
        self.groups: dict[str, Group] = {}
        self.finished: list[StepLine | Group] = []
        """Steps and fanouts that ended since a view last took them."""
        self.said: list[Line] = []
        """What steps said since a view last took it."""
        self.retries = 0
        self.ended = ""
        self.error: dict[str, Any] | None = None
        """How it failed, once it has."""
        self.paused = False
        self.began = time.monotonic()
        self.skew_ms = 0
        """Redis's clock minus ours."""

    def now_ms(self) -> int:
        """Return Redis's time, about."""
        return round(time.time() * 1000) + self.skew_ms

    def seed(self, steps: Iterable[Any]) -> None:
        """Take over what the archive knows of steps."""
        for row in steps:
            step = self._step(row.place)
            step.agent, step.attempt = row.agent, row.attempts
            step.began_ms = _ms(row.started_at)
            step.ended_ms = _ms(row.finished_at)
            self._set(step, StepStatus(row.status).value)

    def apply(self, entry: JournalEntry) -> None:
        """Take in one journal entry of this run."""
        try:
            data = events_of(entry)
        except BadEntry:
            # The archive tells of it.
            return
        for event in data["e"]:
            self._event(event, entry.at_ms)

    def _event(self, event: list[Any], at_ms: int) -> None:
        kind = event[0]
        if kind in RUN_ENDS:
            self.end(RUN_ENDS[kind], at_ms, event[1:])
        elif kind in ("run_paused", "run_resumed"):
            self.paused = kind == "run_paused"
        elif kind == "pending":
            step = self._step(event[1])
            step.agent = event[2]
            self._set(step, "pending")
        elif kind == "started":
            step = self._step(event[1])
            step.attempt, step.began_ms, step.ended_ms = event[2], at_ms, 0
            step.stage = step.note = step.piece = ""
            self._set(step, "running")
        elif kind == "output":
            self._output(self._step(event[1]), event, at_ms)
        elif kind in STEP_ENDS or kind == "retry":
            self._tried(self._step(event[1]), event, at_ms)
        elif kind == "lost":
            self._lost(event, at_ms)
        elif kind in ("opened", "joined"):
            self._chord(event, at_ms)

    def _chord(self, event: list[Any], at_ms: int) -> None:
        if event[0] == "joined":
            if (group := self.groups.get(event[1])) is not None:
                self._join(group, at_ms)
        elif (group := self._group(event[1])) is not None:
            group.size = int(event[3])

    def _tried(self, step: StepLine, event: list[Any], at_ms: int) -> None:
        kind = event[0]
        step.attempt, step.agent = max(step.attempt, event[2]), event[3]
        # A lane of a batch tells only its end, and how long it took.
        took = took_ms(event)
        step.began_ms = at_ms - took if took else step.began_ms or at_ms
        step.ended_ms = at_ms
        failed = kind not in ("passed", "blocked")
        step.text = str(event[4]) if failed else ""
        self.retries += kind == "retry"
        self._set(step, STEP_ENDS.get(kind, "retry"))
        self.finished.append(step)

    def _lost(self, event: list[Any], at_ms: int) -> None:
        """Stop the time of an attempt that nobody works at any more."""
        if (step := self.steps.get(event[1])) is None:
            # What was lost is no step: a join, for example.
            return
        step.attempt, step.ended_ms = max(step.attempt, event[2]), at_ms
        step.text = LOST
        self._set(step, "retry")
        self.finished.append(step)

    def end(self, status: str, at_ms: int, error: Sequence[str] = ()) -> None:
        """Note the run's end; what is open then is cancelled, as in the archive."""
        self.ended = status
        if len(error) > 1:
            self.error = {"kind": error[0], "text": error[1]}
        for group in self.groups.values():
            group.over = True
        self._cancel(self.steps.values(), at_ms)

    def _join(self, group: Group, at_ms: int) -> None:
        group.joined = True
        if group.under_way:
            # Lanes that a race or a failure did not wait for.
            below = f"{group.place}/lane["
            self._cancel(
                (s for p, s in self.steps.items() if p.startswith(below)), at_ms
            )
        self.finished.append(group)

    def _cancel(self, steps: Iterable[StepLine], at_ms: int) -> None:
        for step in steps:
            if step.status in OPEN:
                step.ended_ms = at_ms
                self._set(step, "cancelled")

    def _output(self, step: StepLine, event: list[Any], at_ms: int) -> None:
        if step.status == "pending":
            # A lane of a batch does not tell its beginning.
            step.attempt, step.began_ms = event[2], at_ms
            self._set(step, "running")
        for wire in event[4]:
            match wire["type"]:
                case "progress":
                    step.stage, step.note = wire["stage"], wire["note"]
                    text = stage_text(step.stage, step.note)
                    self.said.append(Line(step, "running", text, step.stage))
                case "log":
                    self.said.append(Line(step, "log", wire["text"]))
                case "artifact":
                    self.said.append(Line(step, "part", wire["name"]))
                case "partial":
                    step.piece = shown_content(wire["chunk"], SHOWN_CONTENT)
                    self.said.append(Line(step, "partial", step.piece))
                case "final":
                    self.said.append(Line(step, "final", final_text(wire)))
                case "truncated":
                    text = f"output truncated: {wire['why']}"
                    self.said.append(Line(step, "log", text))

    def new_lines(self) -> list[Line]:
        """Take what was said since the last time, but for the lanes of wide fanouts."""
        lines, self.said = self.said, []
        groups = ((line, self.group_of(line.step)) for line in lines)
        return [line for line, group in groups if group is None or not group.wide]

    def _step(self, place: str) -> StepLine:
        if place not in self.steps:
            agent = self._agents.get(TURN.sub("", place), "")
            self.steps[place] = StepLine(place, agent)
        return self.steps[place]

    def _set(self, step: StepLine, status: str) -> None:
        if self.ended and status in OPEN:
            # A worker may speak on until it has heard of the run's end.
            status, step.ended_ms = "cancelled", step.began_ms
        step.status = status
        found = LANE.match(step.place)
        group = self._group(found[1]) if found else None
        if found and group is not None:
            group.note(int(found[2]), status)

    def _group(self, place: str) -> Group | None:
        # Only the outermost fanout counts: its lanes hold all below.
        if LANE.match(place):
            return None
        return self.groups.setdefault(place, Group(place))

    def group_of(self, step: StepLine) -> Group | None:
        """Return the fanout that a step is inside of."""
        found = LANE.match(step.place)
        return self.groups.get(found[1]) if found else None

    def count(self) -> str:
        """Return how many steps and retries there were, and the time, in words."""
        words = f"{len(self.steps)} step{'s' if len(self.steps) != 1 else ''}"
        if self.retries:
            words += f", {self.retries} retr{'ies' if self.retries > 1 else 'y'}"
        return f"{words}, {time.monotonic() - self.began:.1f} s"


def agents_at(program: Program) -> dict[str, str]:
    """Return the agents of a program's steps by the places of their nodes."""
    layout = Layout(program.flow)
    places: list[str] = []
    for parent, edge in zip(layout.parents, layout.edges, strict=True):
        places.append((places[parent] if parent >= 0 else "") + edge)
    return {
        place: node.ref
        for place, node in zip(places, layout.nodes, strict=True)
        if isinstance(node, Step)
    }


def _ms(at: Any) -> int:
    return round(at.timestamp() * 1000) if at is not None else 0
