"""The projection of a run's journal to facts: run, steps, attempts, fanouts and output.

The archive and the live view share it. The fields of facts have the names of database
columns, so that rows and facts convert without a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

from engine.blueprint.program import Program
from engine.flow.nodes import Step
from engine.run.chain.layout import Layout
from engine.run.journal.entries import ENDS, MOVES, Content, Event, took_ms
from engine.run.states import FINAL_RUN, OPEN_STEP, RunStatus, StepStatus

LOST: Final = "its worker died or lost its lease"
ATTEMPT_STATUS: Final = {
    "passed": StepStatus.PASSED,
    "blocked": StepStatus.BLOCKED,
    "failed": StepStatus.FAILED,
    "timed_out": StepStatus.FAILED,
    "step_lost": StepStatus.LOST,
    "retry": StepStatus.PENDING,
}
"""The status of a step after each event that ends an attempt."""

_INDEX: Final = re.compile(r"/lane\[\d+\]|\[\d+\]")
"""The parts of a place that are not in the path of its node."""


class RunFacts(NamedTuple):
    """The status of one generation of a run."""

    id: str
    generation: int
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: dict[str, Any] | None = None


class StepFacts(NamedTuple):
    """The status of a step; `started_at` is the start of its first attempt."""

    place: str
    agent: str = ""
    kind: str = ""
    status: str = StepStatus.PENDING
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None


class AttemptFacts(NamedTuple):
    """One attempt at a step; `status` is `running` or the kind of its outcome."""

    place: str
    number: int
    status: str = "running"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    worker: str = ""
    stats: dict[str, Any] | None = None


class FanoutFacts(NamedTuple):
    """A fanout with its size when it opens, or with its end when it joins.

    `decided_by` is the lane that has decided the chord; -1 when all have settled.
    """

    place: str
    size: int = 0
    joined_at: datetime | None = None
    decided_by: int = -1


class OutputFacts(NamedTuple):
    """Output events of an attempt in wire form; `first` is the number of the first one."""

    place: str
    attempt: int
    first: int
    events: list[dict[str, Any]]


Facts: TypeAlias = RunFacts | StepFacts | AttemptFacts | FanoutFacts | OutputFacts


def ends_run(events: Sequence[Event]) -> bool:
    """Return whether the events of an entry end their run."""
    # A generator would take longer than the look-ups.
    for event in events:  # noqa: SIM110
        if event[0] in ENDS:
            return True
    return False


def time_of(at_ms: int) -> datetime:
    """Return the time of a journal entry."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


class RunProjection:
    """The facts about one generation of a run.

    It starts with the facts of the database, or with none, and applies entries. After the
    end of the run, steps that an entry would open become cancelled.
    """

    def __init__(self, run: RunFacts, program: Program | None = None) -> None:
        """Start with a run; its program, if given, names kinds and agents."""
        self.run = run
        self.program = program
        self.steps: dict[str, StepFacts] = {}
        self.attempts: dict[tuple[str, int], AttemptFacts] = {}
        self._open: dict[object, StepFacts | AttemptFacts] = {}
        self._changed: dict[object, Facts] = {}
        self._at = time_of(0)
        """The time of the current entry."""
        self._worker = ""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.run.status in FINAL_RUN

    def restore(self, fact: StepFacts | AttemptFacts) -> None:
        """Add a fact from the database."""
        if isinstance(fact, StepFacts):
            self.steps[fact.place] = fact
        else:
            self.attempts[fact.place, fact.number] = fact
        if fact.status in OPEN_STEP:
            self._open[_key(fact)] = fact
        else:
            self._open.pop(_key(fact), None)

    def apply(self, at_ms: int, content: Content) -> list[Facts]:
        """Apply an entry; return the changed facts, each once."""
        self._at, self._worker = time_of(at_ms), content.worker
        for event in content.events:
            kind = event[0]
            if kind in ATTEMPT_STATUS:
                self._end_attempt(event, at_ms)
            elif kind in ENDS:
                self._end(ENDS[kind], _error(event))
            elif kind in MOVES:
                self._move(MOVES[kind])
            else:
                self._apply_other(event)
        return self._changes()

    def end(self, status: str, at_ms: int) -> list[Facts]:
        """End the run, unless it has ended; return the changed facts."""
        self._at = time_of(at_ms)
        self._end(status, None)
        return self._changes()

    def _changes(self) -> list[Facts]:
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def _set(self, fact: StepFacts | AttemptFacts) -> None:
        if self.is_over and fact.status in OPEN_STEP:
            at = max(self._at, self.run.finished_at or self._at)
            fact = fact._replace(status=StepStatus.CANCELLED, finished_at=at)
        self.restore(fact)
        self._changed[_key(fact)] = fact

    def _move(self, status: RunStatus) -> None:
        run = self.run._replace(started_at=self.run.started_at or self._at)
        # Only a running run can be paused; no ended run moves.
        if not self.is_over and RunStatus.RUNNING in (run.status, status):
            run = run._replace(status=status)
        self.run = self._changed["run"] = run

    def _end(self, status: str, error: dict[str, Any] | None) -> None:
        if not self.is_over:
            self.run = self._changed["run"] = self.run._replace(
                status=status, finished_at=self._at, error=error
            )
        self._close("", self.run.finished_at or self._at)

    def _apply_other(self, event: Event) -> None:
        """Apply an event that ends neither an attempt nor the run."""
        match event:
            case ["pending", place, agent, *_]:
                self._change_step(place, agent)
            case ["started", place, number, *_]:
                self._start(place, number)
            case ["output", place, number, first, wires, *_]:
                step = self._step(place)
                waits = step.status == StepStatus.PENDING and number > step.attempts
                if waits or place not in self.steps:
                    # A lane of a batch has no `started`.
                    self._start(place, number)
                output = OutputFacts(place, number, first, wires)
                self._changed["output", place, number, first] = output
            case ["stats", place, number, stats, *_]:
                self._change_attempt(place, number, stats=stats)
            case ["lost", place, number, *_]:
                lost = {"status": "lost", "finished_at": self._at, "error": LOST}
                self._change_attempt(place, number, **lost)
            case ["opened", place, _, size, *_]:
                self._changed["fanout", place] = FanoutFacts(place, size)
            case ["joined", place, lane, *_]:
                self._join(place, lane)
            case _:
                pass

    def _join(self, place: str, lane: int) -> None:
        joined = FanoutFacts(place, joined_at=self._at, decided_by=lane)
        self._changed["fanout", place] = joined
        if lane >= 0:
            self._close(f"{place}/lane[", self._at)

    def _start(self, place: str, number: int) -> None:
        step = self._step(place)
        self._change_step(
            place,
            status=StepStatus.RUNNING,
            attempts=max(step.attempts, number),
            started_at=step.started_at or self._at,
        )
        self._set(AttemptFacts(place, number, started_at=self._at, worker=self._worker))

    def _change_attempt(self, place: str, number: int, **changes: Any) -> None:
        # A join can be lost too, and has no attempt.
        if attempt := self.attempts.get((place, number)):
            self._set(attempt._replace(**changes))

    def _end_attempt(self, event: Event, at_ms: int) -> None:
        kind, place, number, agent = event[:4]
        step, status = self._step(place), ATTEMPT_STATUS[kind]
        attempt = self.attempts.get((place, number)) or AttemptFacts(place, number)
        began = attempt.started_at or self._at
        if took := took_ms(event):
            began = time_of(max(0, at_ms - took))
        self._change_step(
            place,
            agent,
            status=status,
            attempts=max(step.attempts, number),
            started_at=min(step.started_at or began, began),
            finished_at=step.finished_at if status in OPEN_STEP else self._at,
        )
        self._set(
            attempt._replace(
                status=event[6] if kind == "retry" else kind,
                started_at=began,
                finished_at=self._at,
                error=attempt.error if kind in ("passed", "blocked") else event[4],
                worker=self._worker or attempt.worker,
            )
        )

    def _close(self, below: str, at: datetime) -> None:
        """Cancel the open steps and attempts whose places start with `below`."""
        for fact in list(self._open.values()):
            if fact.place.startswith(below):
                self._set(fact._replace(status=StepStatus.CANCELLED, finished_at=at))

    def _step(self, place: str) -> StepFacts:
        return self.steps.get(place) or StepFacts(place)

    def _change_step(self, place: str, agent: str = "", **changes: Any) -> None:
        step = self._step(place)
        if not step.agent:
            agent = agent or self._agents.get(_INDEX.sub("", place), "")
            found = self.program.agents.get(agent) if self.program else None
            changes |= {"agent": agent, "kind": found.kind if found else ""}
        self._set(step._replace(**changes))

    @cached_property
    def _agents(self) -> dict[str, str]:
        return agents_at(self.program) if self.program else {}


def _key(fact: StepFacts | AttemptFacts) -> object:
    return fact.place, fact.number if isinstance(fact, AttemptFacts) else None


def agents_at(program: Program) -> dict[str, str]:
    """Return the agents of a program's steps by the paths of their nodes."""
    layout = Layout(program.flow)
    places: list[str] = []
    for parent, edge in zip(layout.parents, layout.edges, strict=True):
        places.append((places[parent] if parent >= 0 else "") + edge)
    return {
        place: node.ref
        for place, node in zip(places, layout.nodes, strict=True)
        if isinstance(node, Step)
    }


def _error(event: Event) -> dict[str, Any] | None:
    match event:
        case ["run_failed", kind, text, place, ctx, *_]:
            return {"kind": kind, "text": text, "place": place, "ctx": ctx}
        case ["run_failed", kind, text, *_]:
            return {"kind": kind, "text": text}
        case ["run_failed", text]:
            # The event of a run that was ended from outside has only a text.
            return {"kind": "Failed", "text": text}
        case ["run_cancelled", text, *_]:
            return {"kind": "Cancelled", "text": text}
    return None
