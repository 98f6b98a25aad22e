"""What one page of the journal changes in the database: rows, and events applied to them.

Plain rows instead of model instances: an instance costs more than its statement, and
the archiver writes three rows a step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from blueprints.models import Attempt, Run, RunEvent, Step
from blueprints.models.events import kinds_text
from engine.run.attempts import step_id
from engine.run.events import took_ms
from engine.run.states import (
    FINAL_RUN,
    OPEN_STEP,
    RunStatus,
    StepStatus,
    can_move,
)
from engine.store.base import ROOT, JournalEntry, Ref
from workers.upsert import update_rows, upsert

ENDS: Final = {
    "passed": StepStatus.PASSED,
    "blocked": StepStatus.BLOCKED,
    "failed": StepStatus.FAILED,
    "timed_out": StepStatus.FAILED,
    "step_lost": StepStatus.LOST,
}
RUN_MOVES: Final = {
    "run_started": RunStatus.RUNNING,
    "run_resumed": RunStatus.RUNNING,
    "run_paused": RunStatus.PAUSED,
}
RUN_ENDS: Final = {
    "run_done": RunStatus.DONE,
    "run_failed": RunStatus.FAILED,
    "run_cancelled": RunStatus.CANCELLED,
}
IN_PAGE: Final = 500
RUN_COLUMNS: Final = ["status", "archived_number", "started_at"]
STEP_KEY: Final = ["run_id", "generation", "place"]
STEP_STATE: Final = ["agent", "kind", "status", "attempts", "started_at", "finished_at"]
ATTEMPT_STATE: Final = [
    "status",
    "started_at",
    "finished_at",
    "error",
    "worker",
    "stats",
]

Key = tuple[str, int, str]
KindOf = Callable[["RunRow", str], str]
Result = tuple[bytes | None, dict[str, Any] | None]
"""The JSON text of a final Ctx, or why there is none."""


@dataclass(slots=True)
class RunRow:
    """The part of a run's row that its journal changes."""

    id: str
    status: str
    generation: int
    program_id: str
    archived_number: int
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None
    result: bytes | None = None
    """JSON text; written only when the run ends."""


@dataclass(slots=True)
class StepRow:
    """A step's row; `id` is None until it is known to the database."""

    run_id: str
    generation: int
    place: str
    key: str
    agent: str = ""
    kind: str = ""
    status: str = StepStatus.PENDING
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    id: int | None = None


@dataclass(slots=True)
class AttemptRow:
    """An attempt's row."""

    number: int
    status: str = "running"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    worker: str = ""
    stats: dict[str, Any] | None = None
    step_id: int | None = None


@dataclass(slots=True)
class EventRow:
    """A journal entry's row; `data` is the entry's own JSON text."""

    run_id: str
    generation: int
    number: int
    at: datetime
    kind: str
    kinds: str
    data: bytes
    says: bool
    """Whether it has output of an agent."""


@dataclass
class Page:
    """Rows that one page of the journal makes or changes."""

    runs: dict[str, RunRow]
    kind_of: KindOf
    steps: dict[Key, StepRow] = field(default_factory=dict)
    attempts: dict[Key, dict[int, AttemptRow]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    events: list[EventRow] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Runs whose end is in this page."""
    retired: set[str] = field(default_factory=set)
    """Runs archived before, whose keys may still be there."""

    def apply(self, entry: JournalEntry, data: dict[str, Any]) -> None:
        """Apply one entry, `data` being its content."""
        run = self.runs[entry.run]
        events = data["e"]
        if entry.gen != run.generation or entry.number <= run.archived_number:
            if run.status in FINAL_RUN:
                self.retired.add(run.id)
                return
            # Row and number are written together: an end that has the number of
            # another entry was reached after a crash took Redis back, and counts.
            if entry.gen != run.generation or not ends_run(events):
                return
        run.archived_number = entry.number
        if run.status in FINAL_RUN:
            # Told after its end: with this its keys may go away.
            self.retired.add(run.id)
        at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
        who = data.get("w", "")
        for event in events:
            self._event(run, event, at, who)
        # What was said comes first in an entry, but is not what it is called by.
        kinds = [event[0] for event in events]
        kind = next((kind for kind in kinds if kind != "output"), [*kinds, "moved"][0])
        self.events.append(
            EventRow(
                run.id,
                entry.gen,
                entry.number,
                at,
                kind,
                kinds_text(kinds),
                entry.data,
                "output" in kinds,
            )
        )

    def take(self, results: Mapping[str, Result]) -> None:
        """Give runs that have ended their final Ctx, read beforehand."""
        for pk in self.ended:
            run, (text, error) = self.runs[pk], results[pk]
            run.result, run.error = text, run.error or error

    def _event(self, run: RunRow, event: list[Any], at: datetime, who: str) -> None:
        kind = event[0]
        if kind in RUN_ENDS:
            if run.status not in FINAL_RUN:
                _end(run, event, at)
            self.ended.append(run.id)
        elif run.status in FINAL_RUN and kind not in ENDS and kind != "stats":
            # A cancel is written at once: what the journal tells later reopens nothing.
            return
        elif kind in RUN_MOVES:
            if can_move(RunStatus(run.status), RUN_MOVES[kind]):
                run.status = RUN_MOVES[kind]
            run.started_at = run.started_at or at
        elif kind in ENDS or kind == "retry":
            self._tried(run, event, at, who)
        else:
            self._moved(run, event, at, who)

    def _moved(self, run: RunRow, event: list[Any], at: datetime, who: str) -> None:
        """Apply an event of a step or a chord that ends no attempt."""
        match event:
            case ["pending", place, agent]:
                self._step(run, place, agent)
            case ["started", place, number]:
                self._started(run, place, number, at, who)
            case ["stats", place, number, stats]:
                attempts = self.attempts.get((run.id, run.generation, place), {})
                if (attempt := attempts.get(number)) is not None:
                    attempt.stats = stats
            case ["joined", place, int(lane)] if lane >= 0:
                below = place + "/lane["
                self._cancel(run.id, at, below)
                _cancel_stored(run.id, at, below)
            case ["lost", place, number, *_]:
                attempts = self.attempts.get((run.id, run.generation, place), {})
                if (attempt := attempts.get(number)) is not None:
                    attempt.status, attempt.finished_at = "lost", at
                    attempt.error = "its worker died or lost its lease"
            case _:
                pass

    def _step(self, run: RunRow, place: str, agent: str = "") -> StepRow:
        key = (run.id, run.generation, place)
        step = self.steps.get(key)
        if step is None:
            name = step_id(Ref(run.id, run.generation, ROOT), place)
            step = self.steps[key] = StepRow(*key, name)
        if agent and not step.agent:
            step.agent, step.kind = agent, self.kind_of(run, agent)
        return step

    def _started(
        self, run: RunRow, place: str, number: int, at: datetime, who: str
    ) -> None:
        step = self._step(run, place)
        step.status = StepStatus.RUNNING
        step.attempts = max(step.attempts, number)
        step.started_at = step.started_at or at
        attempt = AttemptRow(number, started_at=at, worker=who)
        self.attempts[run.id, run.generation, place][number] = attempt

    def _tried(self, run: RunRow, event: list[Any], at: datetime, who: str) -> None:
        kind, place, number, agent = event[:4]
        step = self._step(run, place, agent)
        step.attempts = max(step.attempts, number)
        began = at - timedelta(milliseconds=took_ms(event))
        step.started_at = step.started_at or began
        attempts = self.attempts[run.id, run.generation, place]
        attempt = attempts.get(number)
        if attempt is None:
            attempt = attempts[number] = AttemptRow(number)
        attempt.started_at = attempt.started_at or began
        attempt.finished_at, attempt.worker = at, who or attempt.worker
        if kind == "retry":
            step.status = StepStatus.PENDING
            attempt.status, attempt.error = event[6], event[4]
            return
        step.status, step.finished_at = ENDS[kind], at
        attempt.status = kind
        if kind not in ("passed", "blocked"):
            attempt.error = event[4]

    def _cancel(self, run: str, at: datetime, below: str) -> None:
        """Close the open steps and attempts of a run at or below a place, in memory."""
        for key, step in self.steps.items():
            if key[0] != run or not key[2].startswith(below):
                continue
            if step.status in OPEN_STEP:
                step.status, step.finished_at = StepStatus.CANCELLED, at
            for attempt in self.attempts.get(key, {}).values():
                if not attempt.finished_at:
                    attempt.status, attempt.finished_at = "cancelled", at

    def save(self) -> None:
        """Write all rows; within the caller's transaction."""
        now = timezone.now()
        ended = {pk: self.runs[pk].finished_at or now for pk in self.ended}
        self._close_ended(ended)
        upsert(
            RunEvent,
            self.events,
            unique=["run_id", "generation", "number"],
            columns=[
                "run_id",
                "generation",
                "number",
                "at",
                "kind",
                "kinds",
                "data",
                "says",
            ],
        )
        upsert(
            Step,
            self.steps.values(),
            unique=STEP_KEY,
            columns=[*STEP_KEY, "key", *STEP_STATE],
            update=STEP_STATE,
        )
        self._save_attempts()
        open_runs = [run for run in self.runs.values() if run.status not in FINAL_RUN]
        update_rows(Run, open_runs, RUN_COLUMNS)
        update_rows(
            Run,
            [self.runs[pk] for pk in ended],
            [*RUN_COLUMNS, "finished_at", "error", "result"],
        )
        cut_off = Step.objects.filter(run_id__in=ended, status__in=OPEN_STEP)
        for pk in set(cut_off.values_list("run_id", flat=True)):
            _cancel_stored(pk, ended[pk], "")

    def _close_ended(self, ended: dict[str, datetime]) -> None:
        """Give what a run's end cut off its final status."""
        for key, step in self.steps.items():
            if key[0] not in ended:
                continue
            if step.status in OPEN_STEP:
                step.status, step.finished_at = StepStatus.CANCELLED, ended[key[0]]
            for attempt in self.attempts.get(key, {}).values():
                if not attempt.finished_at:
                    attempt.status = "cancelled"
                    attempt.finished_at = ended[key[0]]

    def _save_attempts(self) -> None:
        new = {key: step for key, step in self.steps.items() if step.id is None}
        runs = {key[0] for key in new}
        for places in _lists({key[2] for key in new}):
            found = Step.objects.filter(run_id__in=runs, place__in=places)
            for pk, *key in found.values_list("pk", *STEP_KEY):
                if (step := new.get((key[0], key[1], key[2]))) is not None:
                    step.id = pk
        rows: list[AttemptRow] = []
        for key, attempts in self.attempts.items():
            for attempt in attempts.values():
                attempt.step_id = self.steps[key].id
                rows.append(attempt)
        upsert(
            Attempt,
            rows,
            unique=["step_id", "number"],
            columns=["step_id", "number", *ATTEMPT_STATE],
            update=ATTEMPT_STATE,
        )


def page_of(
    entries: list[tuple[JournalEntry, dict[str, Any]]], kind_of: KindOf
) -> Page:
    """Return a page with the rows its entries speak of, as the database has them."""
    names = {entry.run for entry, _ in entries}
    columns = ["id", "status", "generation", "program_id", "archived_number"]
    columns += ["started_at", "finished_at", "error"]
    # Locked, so that a second archiver can't write an older view over ours.
    found = Run.objects.select_for_update().filter(pk__in=names).order_by("pk")
    runs = {row[0]: RunRow(*row) for row in found.values_list(*columns)}
    page = Page(runs, kind_of)
    places = {
        event[1]
        for _, data in entries
        for event in data["e"]
        if len(event) > 1 and isinstance(event[1], str)
    }
    known: dict[int, Key] = {}
    for some in _lists(places):
        steps = Step.objects.filter(run_id__in=runs, place__in=some)
        for row in steps.values_list(*STEP_KEY, "key", *STEP_STATE, "id"):
            page.steps[row[0], row[1], row[2]] = StepRow(*row)
            known[row[-1]] = (row[0], row[1], row[2])
    for pks in _lists(known):
        tries = Attempt.objects.filter(step_id__in=pks)
        for row in tries.values_list("number", *ATTEMPT_STATE, "step_id"):
            page.attempts[known[row[-1]]][row[0]] = AttemptRow(*row)
    return page


def _cancel_stored(run: str, at: datetime, below: str) -> None:
    """Close the open steps and attempts of a run that only the database knows."""
    open_steps = Step.objects.filter(
        run_id=run, status__in=OPEN_STEP, place__startswith=below
    )
    Attempt.objects.filter(step__in=open_steps, finished_at=None).update(
        status="cancelled", finished_at=at
    )
    open_steps.update(status=StepStatus.CANCELLED, finished_at=at)


def _lists(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Return values in lists that fit into one statement's parameters."""
    rest = list(values)
    for at in range(0, len(rest), IN_PAGE):
        yield rest[at : at + IN_PAGE]


def ends_run(events: list[list[Any]]) -> bool:
    """Tell whether the events of an entry end their run."""
    return any(event[0] in RUN_ENDS for event in events)


def _end(run: RunRow, event: list[Any], at: datetime) -> None:
    run.status, run.finished_at = RUN_ENDS[event[0]], at
    if event[0] == "run_failed":
        # Ended from outside it has a text only.
        kind, text = event[1:] if len(event) > 2 else ("Failed", event[1])
        run.error = {"kind": kind, "text": text}
    elif event[0] == "run_cancelled":
        run.error = {"kind": "Cancelled", "text": event[1]}
