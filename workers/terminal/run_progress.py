"""The state of a live view: steps, fanouts and output events of one run."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from blueprints.command_line import counted_as
from engine.blueprint import Program
from engine.run.journal.entries import BadEntry, read_entry
from engine.run.journal.projection import (
    AttemptFacts,
    Facts,
    FanoutFacts,
    OutputFacts,
    RunFacts,
    RunProjection,
    StepFacts,
    time_of,
)
from engine.run.place_names import PlaceNames
from engine.run.states import FAILED_STEP, OPEN_STEP, RunStatus
from engine.store.base import JournalEntry
from workers.terminal.texts import duration

SHOWN_LANES: Final = 8
"""A fanout of more lanes than this is one line."""
SHOWN_TURNS: Final = 8
"""The most lanes or iterations shown below their fanout or loop."""
LEAST_S: Final = 0.5
"""The least time from which a rate is shown."""
LANE: Final = re.compile(r"(.*?)/lane\[(\d+)\]", re.DOTALL)
TURN: Final = re.compile(r"/(lane|body)\[(\d+)\]")
RETRY: Final = "retry"
"""The status shown for an open step whose latest attempt has ended."""
LOST: Final = "lost"
"""The word for an attempt whose worker has died, also if another attempt follows."""
SHOWN_FAILED: Final = 5
"""The failed lanes that the line of a fanout names."""


@dataclass
class Group:
    """The lanes of one outermost fanout; `lanes` has the latest status of each.

    `over` is set when the run ends, also where the fanout never joined.
    """

    place: str
    size: int = 0
    lanes: dict[int, str] = field(default_factory=dict)
    joined: bool = False
    over: bool = False
    agents: dict[str, None] = field(default_factory=dict)
    """The agents of its steps, in the order of their first steps."""
    began: datetime | None = None
    ended: datetime | None = None
    """The first start and the last end of its steps."""

    @property
    def wide(self) -> bool:
        """Whether it is shown as one line."""
        return self.size > SHOWN_LANES

    @property
    def status(self) -> str:
        """The status of all lanes together, including lanes that have not begun."""
        counts = Counter(self.lanes.values())
        if counts["failed"] or counts["lost"]:
            return "failed"
        if self.joined or counts["passed"] + counts["blocked"] >= self.size:
            return "passed"
        return "cancelled" if self.over else "running"

    def note(self, step: StepFacts) -> None:
        """Note the agent and the times of one of its steps."""
        if step.agent:
            self.agents[step.agent] = None
        for at in (step.started_at, step.finished_at):
            if at is not None:
                self.began = min(self.began or at, at)
                self.ended = max(self.ended or at, at)

    def summary(self, now_ms: int) -> str:
        """Return agents, counts, time, rate and failed lanes, as one line."""
        counts = Counter(self.lanes.values())
        done = counts["passed"] + counts["blocked"]
        words = [f"lane[0..{self.size - 1}] {done}/{self.size} done"]
        shown = ("running", RETRY, "failed", LOST, "cancelled")
        words += [f"{counts[one]} {one}" for one in shown if counts[one]]
        if self.began is not None and self.ended is not None:
            open_ = self.status == "running"
            until = time_of(now_ms) if open_ else self.ended
            took = max(0.0, (until - self.began).total_seconds())
            ended = len(self.lanes) - counts["running"] - counts[RETRY]
            words.append(duration(took))
            # Lanes that a failure has ended say nothing of the speed.
            if took >= LEAST_S and self.status != "failed":
                words.append(f"{ended / took:.3g} lanes/s")
        text = "  ".join(filter(None, [", ".join(self.agents), ", ".join(words)]))
        bad = sorted(n for n, one in self.lanes.items() if one in ("failed", LOST))
        if bad:
            some = ", ".join(map(str, bad[:SHOWN_FAILED]))
            more = len(bad) - SHOWN_FAILED
            text += f"  failed: {some}" + (f" and {more} more" if more > 0 else "")
        return text


@dataclass
class StepLine:
    """A step, one of its attempts (the latest, if nothing else is said), and its output."""

    step: StepFacts
    attempt: AttemptFacts | None = None
    group: Group | None = None
    """The outermost fanout around the step, which is in its lane `lane`."""
    lane: int = 0
    stage: str = ""
    note: str = ""
    piece: Mapping[str, Any] | None = None

    @property
    def status(self) -> str:
        """The step's status, or RETRY if another attempt follows this one."""
        if (attempt := self.attempt) is None:
            return self.step.status
        waits = attempt.finished_at is not None and self.step.status in OPEN_STEP
        return (
            RETRY if waits or attempt.number < self.step.attempts else self.step.status
        )

    @property
    def word(self) -> str:
        """Its status, or LOST for a dead attempt that another one follows."""
        is_lost = self.attempt is not None and self.attempt.status == LOST
        return LOST if is_lost and self.status == RETRY else self.status

    @property
    def is_counted(self) -> bool:
        """Whether only the counts of its wide fanout show it."""
        return self.group is not None and self.group.wide

    def seconds(self, now_ms: int) -> float | None:
        """Return how long its latest attempt took or takes."""
        if self.attempt is None or self.attempt.started_at is None:
            return None
        until = self.attempt.finished_at or time_of(now_ms)
        return max(0.0, (until - self.attempt.started_at).total_seconds())


class RunProgress:
    """The shown state of a run, and the news that a view has not drawn yet."""

    def __init__(self, run: str, program: Program) -> None:
        """Start without any step."""
        self.run = run
        self.title = program.blueprint_id
        self.known = RunProjection(RunFacts(run, 1, RunStatus.RUNNING), program)
        self.names = PlaceNames(program.flow)
        self.steps: dict[str, StepLine] = {}
        self.groups: dict[str, Group] = {}
        self.finished: list[StepLine | Group] = []
        """Ended attempts and fanouts; the view clears the list."""
        self.outputs: list[tuple[StepLine, Mapping[str, Any]]] = []
        """Output events in wire form; the view clears the list."""
        self.retries = 0
        self.began_at = time.monotonic()
        self.skew_ms = 0
        """Redis's clock minus ours."""

    @property
    def ended(self) -> str:
        """The final status of the run; empty while it is open."""
        status = self.known.run.status
        return "" if status in (RunStatus.RUNNING, RunStatus.PAUSED) else status

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that ended the run, if any."""
        return self.known.run.error

    @property
    def paused(self) -> bool:
        """Whether the run is paused."""
        return self.known.run.status == RunStatus.PAUSED

    def now_ms(self) -> int:
        """Return the approximate time of Redis."""
        return round(time.time() * 1000) + self.skew_ms

    def seed(self, steps: Iterable[Any]) -> None:
        """Start with the steps that are archived already."""
        for row in steps:
            times = {"started_at": row.started_at, "finished_at": row.finished_at}
            self.known.restore(
                StepFacts(
                    row.place, row.agent, row.kind, row.status, row.attempts, **times
                )
            )
            if row.attempts:
                status = "running" if row.status in OPEN_STEP else row.status
                self.known.restore(
                    AttemptFacts(row.place, row.attempts, status, **times)
                )
            self._show(row.place)

    def apply(self, entry: JournalEntry) -> bool:
        """Apply a journal entry; return whether it belongs to this run.

        A malformed entry is ignored, since the archive reports it.
        """
        if entry.run != self.run:
            return False
        with contextlib.suppress(BadEntry):
            self._apply_facts(self.known.apply(entry.at_ms, read_entry(entry)))
        return True

    def end(self, status: str, at_ms: int) -> None:
        """End the run; its open steps are cancelled, as in the archive."""
        self._apply_facts(self.known.end(status, at_ms))

    def _apply_facts(self, facts: Iterable[Facts]) -> None:
        for fact in facts:
            match fact:
                case RunFacts():
                    for group in self.groups.values():
                        group.over = bool(self.ended)
                case StepFacts(place=place):
                    self._show(place)
                case AttemptFacts(place=place):
                    line = self._show(place)
                    if fact.finished_at is not None and fact.status != "cancelled":
                        # Entries are read again after a resume: it may be an older one.
                        ended = replace(line, attempt=fact)
                        self.finished.append(ended)
                        self.retries += ended.status == RETRY and fact.status != "lost"
                case FanoutFacts():
                    self._fanout(fact)
                case OutputFacts():
                    self._output(fact)

    def _show(self, place: str) -> StepLine:
        """Update the line of a step, and the counts of its fanout."""
        step = self.known.steps[place]
        attempt = self.known.attempts.get((place, step.attempts))
        if (line := self.steps.get(place)) is None:
            line = self.steps[place] = StepLine(step)
            if found := LANE.match(place):
                line.group, line.lane = self._group(found[1]), int(found[2])
        if line.step.attempts != step.attempts:
            line.stage, line.note, line.piece = "", "", None
        line.step, line.attempt = step, attempt
        if line.group is not None:
            line.group.lanes[line.lane] = line.status
            line.group.note(step)
            line.group.size = max(line.group.size, line.lane + 1)
        return line

    def _fanout(self, fact: FanoutFacts) -> None:
        # Only the outermost fanout has counts: its lanes contain the inner ones.
        if LANE.match(fact.place):
            return
        group = self._group(fact.place)
        group.size = max(group.size, fact.size)
        group.joined = fact.joined_at is not None
        if group.joined:
            self.finished.append(group)

    def _output(self, fact: OutputFacts) -> None:
        line = self._show(fact.place)
        for wire in fact.events:
            match wire["type"]:
                case "progress":
                    line.stage, line.note = wire["stage"], wire["note"]
                case "partial":
                    line.piece = wire["chunk"]
                case "log" | "artifact" | "final" | "truncated":
                    pass
                case _:
                    # Workers of a newer version may write kinds unknown to this one.
                    continue
            if not line.is_counted:
                self.outputs.append((line, wire))

    def _group(self, place: str) -> Group:
        return self.groups.setdefault(place, Group(place))

    def count(self) -> str:
        """Return the number of steps and retries and the time, in words."""
        words = counted_as(len(self.steps), "step")
        failed = sum(one.step.status in FAILED_STEP for one in self.steps.values())
        if failed and self.ended == RunStatus.DONE:
            words += f", {failed} failed"
        if self.retries:
            words += f", {self.retries} retr{'ies' if self.retries > 1 else 'y'}"
        return f"{words}, {self.elapsed()}"

    def elapsed(self) -> str:
        """Return the time since this command began to follow the run."""
        return duration(time.monotonic() - self.began_at)


@dataclass(eq=False)
class Row:
    """A row of the tree: a step, a group of lanes, or the parent of other rows.

    `kind` is `step`, `fanout`, `loop`, `turn` (a lane or an iteration) or `earlier`
    (`count` rows that are not shown).
    """

    kind: str
    place: str
    item: StepLine | Group | None = None
    count: int = 0
    below: list[Row] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The number of rows, including all below."""
        return 1 + sum(row.size for row in self.below)

    @property
    def status(self) -> str:
        """The status of the row: that of an open row below, else of the newest."""
        if self.item is not None:
            return self.item.status
        found = [row.status for row in self.below if row.kind != "earlier"]
        for status in ("running", RETRY, "pending"):
            if status in found:
                return status
        return found[-1]


def nested(items: Iterable[tuple[str, StepLine | Group]]) -> list[Row]:
    """Return items, each with its place, as nested rows.

    A lane is below its fanout and an iteration below its loop. A lane or iteration with
    a single row is replaced by that row.
    """
    roots: list[Row] = []
    known: dict[tuple[str, str], Row] = {}

    def row(rows: list[Row], kind: str, place: str) -> Row:
        if (kind, place) not in known:
            known[kind, place] = Row(kind, place)
            rows.append(known[kind, place])
        return known[kind, place]

    for place, item in items:
        rows = roots
        for turn in TURN.finditer(place):
            kind = "fanout" if turn[1] == "lane" else "loop"
            whole = row(rows, kind, place[: turn.start()])
            whole.count = max(whole.count, int(turn[2]) + 1)
            rows = row(whole.below, "turn", place[: turn.end()]).below
        rows.append(Row("step", place, item))
    return [_tidied(row) for row in roots]


def _tidied(row: Row) -> Row:
    """Keep the newest rows below a row, and replace a turn of one row by that row."""
    hidden = len(row.below) - SHOWN_TURNS
    left_out = []
    if row.kind in ("fanout", "loop") and hidden > 0:
        left_out = [Row("earlier", row.place, count=hidden)]
        del row.below[:hidden]
    if row.kind == "fanout":
        row.below.sort(key=lambda turn: int(turn.place.rpartition("[")[2].rstrip("]")))
    row.below = left_out + [_tidied(one) for one in row.below]
    if row.kind == "turn" and len(row.below) == 1:
        return row.below[0]
    return row


def drop_oldest(rows: list[Row], most: int) -> int:
    """Drop the oldest rows until at most `most` are left; return the number dropped.

    A row is kept while a row below it is kept.
    """
    size = left = sum(row.size for row in rows)
    while left > most:
        left -= _drop_first(rows)
    return size - left


def _drop_first(rows: list[Row]) -> int:
    dropped = _drop_first(rows[0].below) if rows[0].below else 0
    if rows[0].below:
        return dropped
    del rows[0]
    return dropped + 1
