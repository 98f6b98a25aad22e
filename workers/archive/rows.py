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

from blueprints.models import Attempt, Run, RunEvent, RunGeneration, Step
from blueprints.models.events import kinds_text
from blueprints.selectors.run_generations import GenerationKey, generation_rows
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

    def __init__(
        self, read: list[ReadEntry], programs: Mapping[GenerationKey, Program]
    ) -> None:
        """Lock the rows of the entries' runs, and apply the entries to their facts."""
        self.runs: dict[GenerationKey, RunProjection] = {}
        self.numbers: dict[GenerationKey, int] = {}
        """The number of each generation's last archived entry."""
        self.ended: set[GenerationKey] = set()
        """Generations whose end is among the entries."""
        self.retired: set[GenerationKey] = set()
        """Generations that had ended before; Redis may still have their keys."""
        self._rows: dict[GenerationKey, Run | RunGeneration] = {}
        self._ids: dict[tuple[GenerationKey, str], int] = {}
        self._steps: dict[tuple[GenerationKey, str], StepFacts] = {}
        self._attempts: dict[tuple[GenerationKey, str, int], AttemptFacts] = {}
        self._cut_off: list[tuple[GenerationKey, datetime, str]] = []
        self._events: list[tuple[Any, ...]] = []
        # The lock keeps a second archiver from overwriting newer facts with older ones.
        locked = Run.objects.select_for_update()
        keys = {key_of(entry) for entry, _ in read}
        rows = generation_rows(keys, *RUN[2:], "archived_number", runs=locked)
        for key, row, (*columns, number) in rows:
            run = RunFacts(*key, *columns)
            self.runs[key] = RunProjection(run, programs.get(key))
            self.numbers[key] = number
            self._rows[key] = row
        self._restore(read)
        for entry, content in read:
            if key_of(entry) in self.runs:
                self._apply(entry, content)

    def _restore(self, read: list[ReadEntry]) -> None:
        """Load the rows of the steps that the entries name, and of their attempts."""
        places = {
            event[1]
            for _, content in read
            for event in content.events
            if len(event) > 1 and isinstance(event[1], str)
        }
        keys: dict[int, tuple[GenerationKey, str]] = {}
        for pk, key, place, *columns in self._stored(places, *STEP):
            self.runs[key].restore(StepFacts(place, *columns))
            self._ids[key, place] = pk
            keys[pk] = key, place
        for pks in _lists(keys):
            found = Attempt.objects.filter(step_id__in=pks)
            for pk, *columns in found.values_list("step_id", "number", *ATTEMPT):
                key, place = keys[pk]
                self.runs[key].restore(AttemptFacts(place, *columns))

    def _stored(self, places: Iterable[str], *columns: str) -> Iterator[list[Any]]:
        """Yield id, generation, place and columns of the steps that the database has."""
        runs = {run for run, _ in self.runs}
        for some in _lists(places):
            found = Step.objects.filter(run_id__in=runs, place__in=some)
            names = ["generation", "pk", "run_id", "place", *columns]
            for generation, pk, run, *row in found.values_list(*names):
                if (run, generation) in self.runs:
                    yield [pk, (run, generation), *row]

    def _apply(self, entry: JournalEntry, content: Content) -> None:
        key = key_of(entry)
        known, ends = self.runs[key], ends_run(content.events)
        if known.is_over:
            # Entries after the end are archived, too, before the keys are removed.
            self.retired.add(key)
        # A crash may set Redis back, so that a run ends under a number that the archive
        # has already. That end counts, because row and number are written together.
        is_new = entry.number > self.numbers[key] or (ends and not known.is_over)
        if not is_new:
            return
        self.numbers[key] = entry.number
        if ends:
            self.ended.add(key)
        for fact in known.apply(entry.at_ms, content):
            match fact:
                case StepFacts():
                    self._steps[key, fact.place] = fact
                case AttemptFacts():
                    self._attempts[key, fact.place, fact.number] = fact
                case FanoutFacts(joined_at=datetime() as at) if fact.decided_by >= 0:
                    self._cut_off.append((key, at, f"{fact.place}/lane["))
        # Output is first in an entry, but is not its kind.
        kinds = [event[0] for event in content.events]
        kind = next((kind for kind in kinds if kind != "output"), [*kinds, "moved"][0])
        when, words = time_of(entry.at_ms), kinds_text(kinds)
        row = (*key, entry.number, when, kind, words, entry.data)
        self._events.append((*row, "output" in kinds))

    def save(self, results: Mapping[GenerationKey, Result]) -> None:
        """Write all rows; `results` has the final Ctx of each generation in `ended`."""
        upsert(RunEvent, EVENT, self._events, unique=EVENT[:3])
        self._save_steps()
        for model in (Run, RunGeneration):
            self._save_states(model, results)
        self._cancel()

    def _save_states(
        self,
        model: type[Run] | type[RunGeneration],
        results: Mapping[GenerationKey, Result],
    ) -> None:
        mine = {k: one for k, one in self.runs.items() if type(self._rows[k]) is model}
        still_open = (key for key, known in mine.items() if not known.is_over)
        update_rows(model, RUN_STATE, map(self._run_row, still_open))
        ended = []
        for key in self.ended & mine.keys():
            known, (result, error) = mine[key], results[key]
            known.run = replace(known.run, error=known.run.error or error)
            ended.append(
                (known.run.finished_at, known.run.error, result, *self._run_row(key))
            )
        update_rows(model, ["finished_at", "error", "result", *RUN_STATE], ended)

    def _run_row(self, key: GenerationKey) -> tuple[Any, ...]:
        run = self.runs[key].run
        return run.status, self.numbers[key], run.started_at, self._rows[key].pk

    def _save_steps(self) -> None:
        upsert(
            Step,
            [*STEP_KEY, "key", *STEP],
            (
                (*key, place, step_id(*key, place), *step_values(step))
                for (key, place), step in self._steps.items()
            ),
            unique=STEP_KEY,
            update=STEP,
        )
        new = self._steps.keys() - self._ids.keys()
        for pk, key, place in self._stored({place for _, place in new}):
            self._ids[key, place] = pk
        upsert(
            Attempt,
            ["step_id", "number", *ATTEMPT],
            (
                (self._ids[key, place], number, *attempt_values(attempt))
                for (key, place, number), attempt in self._attempts.items()
            ),
            unique=["step_id", "number"],
            update=ATTEMPT,
        )

    def _cancel(self) -> None:
        """Cancel open steps of ended runs and decided fanouts that only the database has."""
        now = timezone.now()
        steps = Step.objects.filter(status__in=OPEN_STEP)
        ended = steps.filter(run_id__in={run for run, _ in self.ended})
        for key in self.ended.intersection(ended.values_list("run_id", "generation")):
            self._cut_off.append((key, self.runs[key].run.finished_at or now, ""))
        for (run, generation), at, below in self._cut_off:
            cut_off = steps.filter(
                run_id=run, generation=generation, place__startswith=below
            )
            Attempt.objects.filter(step__in=cut_off, finished_at=None).update(
                status="cancelled", finished_at=at
            )
            cut_off.update(status=StepStatus.CANCELLED, finished_at=at)


def key_of(entry: JournalEntry) -> GenerationKey:
    """Return the key of the generation that an entry belongs to."""
    return entry.run, entry.gen


def _lists(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield values in lists that fit into the parameters of one statement."""
    rest = list(values)
    for at in range(0, len(rest), IN_PAGE):
        yield rest[at : at + IN_PAGE]
