"""The rows that journal entries change in the database.

They are tuples instead of model instances: an instance costs more than its statement,
and the archiver writes three rows a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from django.utils import timezone

from blueprints.models import Attempt, Run, RunEvent, Step
from blueprints.models.events import kinds_text
from engine.blueprint import Program
from engine.ids import step_id
from engine.run.journal.entries import Content
from engine.run.journal.projection import (
    AttemptFacts,
    FanoutFacts,
    RunFacts,
    RunProjection,
    StepFacts,
    ends_run,
    time_of,
)
from engine.run.states import OPEN_STEP, StepStatus
from engine.store.base import JournalEntry
from workers.archive.upsert import update_rows, upsert

IN_PAGE: Final = 500
EVENT: Final = ["run_id", "generation", "number", "at", "kind", "kinds", "data", "says"]
STEP_KEY: Final = ["run_id", "generation", "place"]
# The columns of facts, without those that identify the row.
RUN: Final = [field.name for field in fields(RunFacts)]
STEP: Final = [field.name for field in fields(StepFacts)][1:]
ATTEMPT: Final = [field.name for field in fields(AttemptFacts)][2:]
RUN_STATE: Final = ["status", "archived_number", "started_at"]

ReadEntry = tuple[JournalEntry, Content]
Result = tuple[bytes | None, dict[str, Any] | None]
"""The JSON text of a final Ctx, or why there is none."""

step_values = attrgetter(*STEP)
attempt_values = attrgetter(*ATTEMPT)


class RowChanges:
    """The rows that some entries add or change, in the caller's transaction."""

    def __init__(self, read: list[ReadEntry], programs: Mapping[str, Program]) -> None:
        """Lock the rows of the entries' runs, and apply the entries to their facts."""
        self.runs: dict[str, RunProjection] = {}
        self.numbers: dict[str, int] = {}
        """The number of each run's last archived entry."""
        self.ended: set[str] = set()
        """Runs whose end is among the entries."""
        self.retired: set[str] = set()
        """Runs that had ended before; Redis may still have their keys."""
        self._ids: dict[tuple[str, str], int] = {}
        self._steps: dict[tuple[str, str], StepFacts] = {}
        self._attempts: dict[tuple[str, str, int], AttemptFacts] = {}
        self._cut_off: list[tuple[str, datetime, str]] = []
        self._events: list[tuple[Any, ...]] = []
        # The lock keeps a second archiver from overwriting newer facts with older ones.
        found = Run.objects.select_for_update().filter(pk__in={e.run for e, _ in read})
        rows = found.order_by("pk").values_list(*RUN, "archived_number")
        for *columns, number in rows:
            run = RunFacts(*columns)
            self.runs[run.id] = RunProjection(run, programs.get(run.id))
            self.numbers[run.id] = number
        self._restore(read)
        for entry, content in read:
            if entry.run in self.runs:
                self._apply(entry, content)

    def _restore(self, read: list[ReadEntry]) -> None:
        """Load the rows of the steps that the entries name, and of their attempts."""
        places = {
            event[1]
            for _, content in read
            for event in content.events
            if len(event) > 1 and isinstance(event[1], str)
        }
        keys: dict[int, tuple[str, str]] = {}
        for pk, run, place, *columns in self._stored(places, *STEP):
            self.runs[run].restore(StepFacts(place, *columns))
            self._ids[run, place] = pk
            keys[pk] = run, place
        for pks in _lists(keys):
            found = Attempt.objects.filter(step_id__in=pks)
            for pk, *columns in found.values_list("step_id", "number", *ATTEMPT):
                run, place = keys[pk]
                self.runs[run].restore(AttemptFacts(place, *columns))

    def _stored(self, places: Iterable[str], *columns: str) -> Iterator[list[Any]]:
        """Yield id, run, place and columns of the steps that the database has."""
        for some in _lists(places):
            found = Step.objects.filter(run_id__in=self.runs, place__in=some)
            names = ["generation", "pk", "run_id", "place", *columns]
            for generation, pk, run, *row in found.values_list(*names):
                if generation == self.runs[run].run.generation:
                    yield [pk, run, *row]

    def _apply(self, entry: JournalEntry, content: Content) -> None:
        run = entry.run
        known, ends = self.runs[run], ends_run(content.events)
        if known.is_over:
            # Entries after the end are archived, too, before the keys are removed.
            self.retired.add(run)
        # A crash may set Redis back, so that a run ends under a number that the archive
        # has already. That end counts, because row and number are written together.
        is_new = entry.number > self.numbers[run] or (ends and not known.is_over)
        if entry.gen != known.run.generation or not is_new:
            return
        self.numbers[run] = entry.number
        if ends:
            self.ended.add(run)
        for fact in known.apply(entry.at_ms, content):
            match fact:
                case StepFacts():
                    self._steps[run, fact.place] = fact
                case AttemptFacts():
                    self._attempts[run, fact.place, fact.number] = fact
                case FanoutFacts(joined_at=datetime() as at) if fact.decided_by >= 0:
                    self._cut_off.append((run, at, f"{fact.place}/lane["))
        # Output is first in an entry, but is not its kind.
        kinds = [event[0] for event in content.events]
        kind = next((kind for kind in kinds if kind != "output"), [*kinds, "moved"][0])
        when, words = time_of(entry.at_ms), kinds_text(kinds)
        row = (run, entry.gen, entry.number, when, kind, words, entry.data)
        self._events.append((*row, "output" in kinds))

    def save(self, results: Mapping[str, Result]) -> None:
        """Write all rows; `results` has the final Ctx of each run in `ended`."""
        upsert(RunEvent, EVENT, self._events, unique=EVENT[:3])
        self._save_steps()
        open_runs = (pk for pk, known in self.runs.items() if not known.is_over)
        update_rows(Run, RUN_STATE, map(self._run_row, open_runs))
        ended = []
        for pk in self.ended:
            known, (result, error) = self.runs[pk], results[pk]
            known.run = replace(known.run, error=known.run.error or error)
            ended.append(
                (known.run.finished_at, known.run.error, result, *self._run_row(pk))
            )
        update_rows(Run, ["finished_at", "error", "result", *RUN_STATE], ended)
        self._cancel()

    def _run_row(self, pk: str) -> tuple[Any, ...]:
        run = self.runs[pk].run
        return run.status, self.numbers[pk], run.started_at, pk

    def _save_steps(self) -> None:
        gens = {pk: one.run.generation for pk, one in self.runs.items()}
        upsert(
            Step,
            [*STEP_KEY, "key", *STEP],
            (
                (pk, gens[pk], place, step_id(pk, gens[pk], place), *step_values(step))
                for (pk, place), step in self._steps.items()
            ),
            unique=STEP_KEY,
            update=STEP,
        )
        new = self._steps.keys() - self._ids.keys()
        for pk, run, place in self._stored({place for _, place in new}):
            self._ids[run, place] = pk
        upsert(
            Attempt,
            ["step_id", "number", *ATTEMPT],
            (
                (self._ids[run, place], number, *attempt_values(attempt))
                for (run, place, number), attempt in self._attempts.items()
            ),
            unique=["step_id", "number"],
            update=ATTEMPT,
        )

    def _cancel(self) -> None:
        """Cancel open steps of ended runs and decided fanouts that only the database has."""
        now = timezone.now()
        steps = Step.objects.filter(status__in=OPEN_STEP)
        left = steps.filter(run_id__in=self.ended).values_list("run_id", flat=True)
        for pk in set(left):
            self._cut_off.append((pk, self.runs[pk].run.finished_at or now, ""))
        for pk, at, below in self._cut_off:
            cut_off = steps.filter(run_id=pk, place__startswith=below)
            Attempt.objects.filter(step__in=cut_off, finished_at=None).update(
                status="cancelled", finished_at=at
            )
            cut_off.update(status=StepStatus.CANCELLED, finished_at=at)


def _lists(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield values in lists that fit into the parameters of one statement."""
    rest = list(values)
    for at in range(0, len(rest), IN_PAGE):
        yield rest[at : at + IN_PAGE]
