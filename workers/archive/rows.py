"""The rows that journal entries change in the database.

They are tuples instead of model instances: an instance costs more than its statement,
and the archiver writes three rows a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.utils import timezone

from blueprints.models import (
    Attempt,
    OutputRecord,
    OutputReference,
    Run,
    RunEvent,
    RunGeneration,
    Step,
)
from blueprints.models.events import kinds_text
from blueprints.selectors.run_generations import (
    GenerationKey,
    GenerationRow,
    generation_rows,
)
from engine.blueprint import Program
from engine.ids import step_id
from engine.run.chain.outputs import OutputRef
from engine.run.journal.entries import Content, gap_of, gaps_in, pack_entry
from engine.run.journal.hashes import BEFORE_FIRST, entry_hash, microseconds
from engine.run.journal.output_records import OutputFound, final_ctx, outputs_of
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
from engine.store.base import ROOT, JournalEntry
from workers.archive.upsert import found_keys, update_rows, upsert

IN_PAGE: Final = 500
MOST_REASONS: Final = 100
"""Missing entries of a gap whose reasons are looked for."""
EVENT: Final = [
    *("run_id", "generation", "number", "at", "kind", "kinds", "addr", "data", "hash"),
    "says",
]
OUTPUT: Final = [
    *("run_id", "generation", "number", "at", "id", "place", "task_id", "attempt"),
    *("producer_agent", "event", "parent_refs"),
]
REFERENCE: Final = ["run_id", "sha256"]
STEP_KEY: Final = ["run_id", "generation", "place"]
# The columns of facts, without those that identify the row.
RUN: Final = RunFacts._fields
STEP: Final = StepFacts._fields[1:]
ATTEMPT: Final = AttemptFacts._fields[2:]
JOURNAL: Final = ["journal_number", "journal_hash", "unreplayable"]
ARCHIVED: Final = ["archived_number", *JOURNAL]
RUN_STATE: Final = ["status", "archived_number", "started_at", *JOURNAL]
UNKNOWN: Final = "they were not in the journal, or could not be read"
WENT_BACK: Final = "Redis went back to a time before entry {number} was archived"

ReadEntry = tuple[JournalEntry, Content]


class Result(NamedTuple):
    """The JSON text of a final Ctx, why there is none, or where it is kept."""

    text: bytes | None = None
    error: dict[str, Any] | None = None
    output: OutputRef | None = None


Reasons = Mapping[tuple[str, int, int], str]
"""Why the archive set entries aside, by run, generation and number."""


@dataclass(slots=True)
class Journal:
    """The end of a run's archived journal: number and hash of its last row."""

    number: int
    hash: bytes
    unreplayable: str


class RowChanges:
    """The rows that some entries add or change, in the caller's transaction."""

    def __init__(
        self,
        read: list[ReadEntry],
        programs: Mapping[GenerationKey, Program],
        reasons: Reasons | None = None,
    ) -> None:
        """Lock the rows of the entries' runs, and apply the entries to their facts.

        `reasons` has why entries that are missing were set aside, as far as it is known.
        """
        self.runs: dict[GenerationKey, RunProjection] = {}
        self.numbers: dict[GenerationKey, int] = {}
        """The number of each generation's last archived entry."""
        self.ended: set[GenerationKey] = set()
        """Generations whose end is among the entries."""
        self.retired: set[GenerationKey] = set()
        """Generations that had ended before; Redis may still have their keys."""
        self._rows: dict[GenerationKey, GenerationRow] = {}
        self._lines: dict[GenerationKey, int] = {}
        self._journals: dict[GenerationKey, Journal] = {}
        self._reasons = reasons or {}
        self._old: list[JournalEntry] = []
        """Entries with numbers that the archive has already."""
        self._ids: dict[tuple[GenerationKey, str], int] = {}
        self._steps: dict[tuple[GenerationKey, str], StepFacts] = {}
        self._attempts: dict[tuple[GenerationKey, str, int], AttemptFacts] = {}
        self._cut_off: list[tuple[GenerationKey, datetime, str]] = []
        self._events: list[tuple[Any, ...]] = []
        self._outputs: list[tuple[Any, ...]] = []
        self._references: set[tuple[str, str]] = set()
        # The lock keeps a second archiver from overwriting newer facts with older ones.
        locked = Run.objects.select_for_update()
        keys = {key_of(entry) for entry, _ in read}
        names = (*RUN[2:], "line", "archived_number", *JOURNAL)
        rows = generation_rows(keys, *names, runs=locked)
        for key, row, (*columns, line, number, last, digest, why) in rows:
            run = RunFacts(*key, *columns)
            self.runs[key] = RunProjection(run, programs.get(key))
            self.numbers[key] = number
            self._lines[key] = line
            self._journals[key] = Journal(last, bytes(digest) or BEFORE_FIRST, why)
            self._rows[key] = row
        self._restore(read)
        for entry, content in read:
            if key_of(entry) in self.runs:
                self._apply(entry, content)

    def _restore(self, read: list[ReadEntry]) -> None:
        """Load the rows of the steps that the entries name, and of their attempts."""
        places = {
            (key, event[1])
            for entry, content in read
            if (key := key_of(entry)) in self.runs
            for event in content.events
            if len(event) > 1 and isinstance(event[1], str)
        }
        keys: dict[int, tuple[GenerationKey, str]] = {}
        for pk, key, place, *columns in _stored(places, *STEP):
            self.runs[key].restore(StepFacts(place, *columns))
            self._ids[key, place] = pk
            keys[pk] = key, place
        for pks in _lists(keys):
            found = Attempt.objects.order_by().filter(step_id__in=pks)
            for pk, *columns in found.values_list("step_id", "number", *ATTEMPT):
                key, place = keys[pk]
                self.runs[key].restore(AttemptFacts(place, *columns))

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
            self._old.append(entry)
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
        # Few entries have any.
        if content.outputs or any(event[0] == "output" for event in content.events):
            at = _time_of(entry.at_ms)[0]
            for output in outputs_of(entry, content):
                self._add_output(key, entry.number, at, output)
        self._record(entry, content)

    def _add_output(
        self, key: GenerationKey, number: int, at: datetime, one: OutputFound
    ) -> None:
        content = one.event["content"]
        if "sha256" in content:
            self._references.add((key[0], content["sha256"]))
        agent = one.agent
        if one.place and not agent:
            agent = self.runs[key].steps[one.place].agent
        task = step_id(key[0], self._lines[key], one.place) if one.place else ""
        row = (*key, number, at, one.id, one.place, task)
        self._outputs.append((*row, one.attempt, agent, one.event, []))

    def _record(self, entry: JournalEntry, content: Content) -> None:
        """Add the row of an entry, and before it a row for entries that are missing."""
        journal, number = self._journals[key_of(entry)], entry.number
        if number <= journal.number:
            # Its number is taken: it gets the next one, and says so.
            why, number = WENT_BACK.format(number=number), journal.number + 1
            content = content._replace(events=[gap_of(number, why), *content.events])
            data = pack_entry(
                content.addr,
                0,
                content.worker,
                content.events,
                mark=content.mark,
                outputs=content.outputs,
            )
            entry = replace(entry, number=number, data=data)
        elif number > journal.number + 1:
            missing = range(journal.number + 1, number)
            keys = ((entry.run, entry.gen, one) for one in missing[:MOST_REASONS])
            reasons = {self._reasons[key] for key in keys if key in self._reasons}
            gap = gap_of(number - 1, "; ".join(sorted(reasons)) or UNKNOWN)
            data = pack_entry(ROOT, 0, "", [gap])
            self._add_row(
                replace(entry, number=missing[0], data=data), Content([gap], "", ROOT)
            )
        self._add_row(entry, content)

    def _add_row(self, entry: JournalEntry, content: Content) -> None:
        journal = self._journals[key_of(entry)]
        kinds = [event[0] for event in content.events]
        for upto, why in gaps_in(content):
            lacks = f"entry {upto}" if upto == entry.number else f"entries up to {upto}"
            journal.unreplayable = journal.unreplayable or f"{lacks}: {why}"
        # Output is first in an entry, but is not its kind.
        kind = next((kind for kind in kinds if kind != "output"), [*kinds, "moved"][0])
        when, at_us = _time_of(entry.at_ms)
        key = (entry.run, entry.gen, entry.number)
        journal.hash = entry_hash(journal.hash, *key, at_us, entry.data)
        journal.number = entry.number
        row = (*key, when, kind, kinds_text(kinds), content.addr, entry.data)
        self._events.append((*row, journal.hash, "output" in kinds))

    def _compare_old(self) -> None:
        """Mark runs whose entries have been archived before with other bytes."""
        numbers = [(one.run, one.gen, one.number) for one in self._old]
        kept: dict[tuple[Any, ...], bytes] = {}
        for pks in _lists(found_keys(RunEvent, EVENT[:3], numbers)):
            rows = RunEvent.objects.order_by().filter(pk__in=pks)
            found = rows.values_list(*EVENT[:3], "data")
            kept |= {tuple(key): bytes(data) for *key, data in found}
        for one in self._old:
            journal = self._journals[key_of(one)]
            if kept.get((one.run, one.gen, one.number)) != one.data:
                why = WENT_BACK.format(number=one.number)
                journal.unreplayable = journal.unreplayable or why

    def save(self, results: Mapping[GenerationKey, Result]) -> None:
        """Write all rows; `results` has the final Ctx of each generation in `ended`."""
        self._compare_old()
        for key in self.ended:
            if (ref := results[key].output) is not None:
                at = self.runs[key].run.finished_at or timezone.now()
                self._add_output(key, self.numbers[key], at, final_ctx(ref))
        upsert(RunEvent, EVENT, self._events, unique=EVENT[:3])
        upsert(OutputRecord, OUTPUT, self._outputs, unique=["id"])
        upsert(OutputReference, REFERENCE, self._references, unique=REFERENCE)
        self._save_steps()
        for model in (Run, RunGeneration):
            self._save_states(model, results)
        self._cancel()

    def _save_states(
        self,
        model: type[Run] | type[RunGeneration],
        results: Mapping[GenerationKey, Result],
    ) -> None:
        mine = {k: one for k, one in self.runs.items() if self._rows[k].model is model}
        over = {key for key, known in mine.items() if known.is_over}
        update_rows(model, RUN_STATE, map(self._run_row, mine.keys() - over))
        ended = []
        for key in self.ended & mine.keys():
            known, found = mine[key], results[key]
            known.run = known.run._replace(error=known.run.error or found.error)
            end = known.run.finished_at, known.run.error, found.text
            ended.append((*end, *self._run_row(key)))
        update_rows(model, ["finished_at", "error", "result", *RUN_STATE], ended)
        # The status of a generation that had ended before is left as it is.
        late = (self._run_row(key) for key in over - self.ended)
        update_rows(model, ARCHIVED, ((row[1], *row[3:]) for row in late))

    def _run_row(self, key: GenerationKey) -> tuple[Any, ...]:
        run, end = self.runs[key].run, self._journals[key]
        kept = end.number, end.hash, end.unreplayable
        state = run.status, self.numbers[key], run.started_at
        return *state, *kept, self._rows[key].pk

    def _save_steps(self) -> None:
        upsert(
            Step,
            [*STEP_KEY, "key", *STEP],
            (
                (*key, place, step_id(key[0], self._lines[key], place), *step[1:])
                for (key, place), step in self._steps.items()
            ),
            unique=STEP_KEY,
            update=STEP,
        )
        new = self._steps.keys() - self._ids.keys()
        for pk, key, place in _stored(new):
            self._ids[key, place] = pk
        upsert(
            Attempt,
            ["step_id", "number", *ATTEMPT],
            (
                (self._ids[key, place], number, *attempt[2:])
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


@lru_cache(maxsize=1)
def _time_of(at_ms: int) -> tuple[datetime, int]:
    """Return the time of an entry, and that time in microseconds, as it is hashed.

    Entries of the same millisecond follow each other.
    """
    when = time_of(at_ms)
    return when, microseconds(when)


def key_of(entry: JournalEntry) -> GenerationKey:
    """Return the key of the generation that an entry belongs to."""
    return entry.run, entry.gen


def _stored(
    places: Iterable[tuple[GenerationKey, str]], *columns: str
) -> Iterator[list[Any]]:
    """Yield id, generation, place and columns of the steps that the database has."""
    keys = [(*key, place) for key, place in places]
    names = ["pk", "run_id", "generation", "place", *columns]
    for pks in _lists(found_keys(Step, STEP_KEY, keys)):
        found = Step.objects.order_by().filter(pk__in=pks)
        for pk, run, generation, *row in found.values_list(*names):
            yield [pk, (run, generation), *row]


def _lists(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield values in lists that fit into the parameters of one statement."""
    rest = list(values)
    for at in range(0, len(rest), IN_PAGE):
        yield rest[at : at + IN_PAGE]
