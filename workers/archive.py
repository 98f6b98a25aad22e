"""The archiver: copies the journal from Redis into the database.

Unique by run, generation and number, so doing it again changes nothing. What is
archived stays in the stream a while for those who follow it live.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import DatabaseError, OperationalError, transaction
from django.utils import timezone

from blueprints.models import Attempt, Run, RunEvent, Step
from engine.run.attempts import step_id
from engine.run.ctx import TooLarge, dump_expanded
from engine.run.load import Loader, Vanished
from engine.run.states import (
    FINAL_RUN,
    OPEN_STEP,
    RunStatus,
    StepStatus,
    can_move,
)
from engine.store.base import ROOT, JournalEntry, Ref
from engine.store.redis import STATE, RedisStore
from workers.upsert import update_rows, upsert

logger = logging.getLogger("workers.archive")

BATCH: Final = 500
KEEP_MS: Final = 30_000
WATERMARK: Final = f"{STATE}archived"

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
TURN_S: Final = 0.5
IN_PAGE: Final = 500
RUN_COLUMNS: Final = ["status", "archived_number", "started_at"]
Key = tuple[str, int, str]


@dataclass
class Batch:
    """Rows that one page of the journal makes or changes."""

    runs: dict[str, Run]
    steps: dict[Key, Step] = field(default_factory=dict)
    attempts: dict[tuple[Key, int], Attempt] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    retired: set[str] = field(default_factory=set)


class Archiver:
    """Moves journal entries into the database, in order."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; the watermark is read at the first turn."""
        self._store = store
        self._loader = Loader(store)
        self._after: str | None = None
        self._trimmed = 0.0

    def turn(self) -> int:
        """Archive what there is; returns how many entries that were."""
        if self._after is None:
            mark = self._store.wire.call("GET", WATERMARK)
            self._after = mark.decode() if mark else "0"
        done, until = 0, time.monotonic() + TURN_S
        entries = self._store.journal(self._after, BATCH)
        while entries:
            self._write_all(entries)
            self._after = entries[-1].id
            self._store.wire.call("SET", WATERMARK, self._after)
            done += len(entries)
            # The steward has other duties, and a lock to keep.
            if time.monotonic() > until:
                break
            entries = self._store.journal(self._after, BATCH)
        self._trim()
        return done

    def behind(self, run: str) -> bool:
        """Tell whether a run's end may still be in the journal."""
        return any(
            entry.run == run for entry in self._store.journal(self._after or "0", BATCH)
        )

    def _trim(self) -> None:
        now = time.monotonic()
        if now - self._trimmed < 1.0 or self._after in (None, "0"):
            return
        self._trimmed = now
        old = self._store.now_ms() - KEEP_MS
        ms = int(str(self._after).partition("-")[0])
        if ms <= old:
            self._store.trim(str(self._after))
        else:
            self._store.trim(f"{old}-0")

    def _write_all(self, entries: list[JournalEntry]) -> None:
        """Write a page; one entry that can't be written must not stop all others."""
        try:
            self._write(entries)
        except OperationalError:
            raise
        except (DatabaseError, ValueError, TypeError, LookupError) as error:
            if len(entries) == 1:
                entry = entries[0]
                logger.error(
                    "journal entry %s of run %s can't be archived: %s",
                    entry.number,
                    entry.run,
                    error,
                )
                return
            for entry in entries:
                self._write_all([entry])

    def _write(self, entries: list[JournalEntry]) -> None:
        with transaction.atomic():
            batch = self._batch(entries)
            for entry in entries:
                if entry.run in batch.runs:
                    self._apply(batch, entry)
            self._close(batch)
            self._save(batch)
        for run in batch.retired.union(batch.ended):
            self._retire(batch.runs[run])

    def _batch(self, entries: list[JournalEntry]) -> Batch:
        ids = {entry.run for entry in entries}
        runs = {
            run.pk: run
            # Locked, so that a second archiver can't write an older view over ours.
            for run in Run.objects.select_for_update()
            .filter(pk__in=ids)
            .order_by("pk")
            .defer("program", "ctx", "result")
        }
        batch = Batch(runs)
        places: set[str] = set()
        for entry in entries:
            for event in _load(entry)["e"]:
                if len(event) > 1 and isinstance(event[1], str):
                    places.add(event[1])
        for page in _pages(places):
            for step in Step.objects.filter(run_id__in=runs, place__in=page):
                batch.steps[step.run_id, step.generation, step.place] = step
        known = {step.pk: key for key, step in batch.steps.items()}
        for pks in _pages(known):
            for attempt in Attempt.objects.filter(step_id__in=pks):
                batch.attempts[known[attempt.step_id], attempt.number] = attempt
        return batch

    def _apply(self, batch: Batch, entry: JournalEntry) -> None:
        run = batch.runs[entry.run]
        if entry.gen != run.generation or entry.number <= run.archived_number:
            # Archived before: only its keys may still be there.
            if run.status in FINAL_RUN:
                batch.retired.add(run.pk)
            return
        run.archived_number = entry.number
        at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
        data = _load(entry)
        who = data.get("w", "")
        for event in data["e"]:
            self._event(batch, run, event, at, who)
        batch.events.append(
            RunEvent(
                run_id=run.pk,
                generation=entry.gen,
                number=entry.number,
                at=at,
                kind=_kind_of(data["e"]),
                data=data,
            )
        )

    def _event(
        self, batch: Batch, run: Run, event: list[Any], at: datetime, who: str
    ) -> None:
        kind = event[0]
        if kind in RUN_ENDS:
            if run.status not in FINAL_RUN:
                _end(run, event, at)
            batch.ended.append(run.pk)
        elif run.status in FINAL_RUN and kind not in ENDS:
            # A cancel is written at once: what the journal tells later reopens nothing.
            return
        elif kind in RUN_MOVES:
            if can_move(RunStatus(run.status), RUN_MOVES[kind]):
                run.status = RUN_MOVES[kind]
            run.started_at = run.started_at or at
        elif kind in ENDS or kind == "retry":
            self._tried(batch, run, event, at, who)
        else:
            self._moved(batch, run, event, at, who)

    def _moved(
        self, batch: Batch, run: Run, event: list[Any], at: datetime, who: str
    ) -> None:
        """Apply an event of a step or a chord that ends no attempt."""
        match event:
            case ["pending", place, agent]:
                self._step(batch, run, place, agent)
            case ["started", place, number]:
                self._started(batch, run, place, number, at, who)
            case ["joined", place, int(lane)] if lane >= 0:
                _cancel(batch, run, at, place + "/lane[")
            case ["lost", place, number, *_]:
                key = (run.pk, run.generation, place)
                attempt = batch.attempts.get((key, number))
                if attempt is not None:
                    attempt.status, attempt.finished_at = "lost", at
                    attempt.error = "its worker died or lost its lease"
            case _:
                pass

    def _step(self, batch: Batch, run: Run, place: str, agent: str = "") -> Step:
        key = (run.pk, run.generation, place)
        step = batch.steps.get(key)
        if step is None:
            ref = Ref(run.pk, run.generation, ROOT)
            step = Step(
                run_id=run.pk,
                generation=run.generation,
                place=place,
                key=step_id(ref, place),
                agent=agent,
                kind="",
            )
            batch.steps[key] = step
        if agent and not step.agent:
            step.agent = agent
        if agent and not step.kind:
            step.kind = self._kind(run, agent)
        return step

    def _kind(self, run: Run, agent: str) -> str:
        try:
            program = self._loader.prepared(run.pk, run.program_id).program
        except Vanished:
            return ""
        found = program.agents.get(agent)
        return found.kind if found else ""

    def _attempt(self, batch: Batch, step: Step, number: int) -> Attempt:
        key = ((step.run_id, step.generation, step.place), number)
        attempt = batch.attempts.get(key)
        if attempt is None:
            attempt = Attempt(step=step, number=number, status="running")
            batch.attempts[key] = attempt
        return attempt

    def _started(
        self, batch: Batch, run: Run, place: str, number: int, at: datetime, who: str
    ) -> None:
        step = self._step(batch, run, place)
        step.status = StepStatus.RUNNING
        step.attempts = max(step.attempts, number)
        step.started_at = step.started_at or at
        attempt = self._attempt(batch, step, number)
        attempt.status, attempt.started_at = "running", at
        attempt.finished_at, attempt.error, attempt.worker = None, "", who

    def _tried(
        self, batch: Batch, run: Run, event: list[Any], at: datetime, who: str
    ) -> None:
        kind, place, number, agent = event[:4]
        step = self._step(batch, run, place, agent)
        step.attempts = max(step.attempts, number)
        step.started_at = step.started_at or at
        attempt = self._attempt(batch, step, number)
        attempt.started_at = attempt.started_at or at
        attempt.finished_at, attempt.worker = at, who or attempt.worker
        if kind == "retry":
            step.status = StepStatus.PENDING
            attempt.status, attempt.error = event[6], event[4]
            return
        step.status, step.finished_at = ENDS[kind], at
        attempt.status = kind
        if kind not in ("passed", "blocked"):
            attempt.error = event[4]

    def _close(self, batch: Batch) -> None:
        """Give what a run's end cut off its final status, and the run its result."""
        for pk in batch.ended:
            run = batch.runs[pk]
            _cancel(batch, run, run.finished_at or timezone.now(), "")
            run.result = self._result(run)

    def _result(self, run: Run) -> Any:
        try:
            value = final_ctx(self._store, self._loader, run)
            return orjson.loads(dump_expanded(value, settings.SWARM_INPUT_LIMIT))
        except TooLarge:
            run.error = run.error or {
                "kind": "ResultTooLarge",
                "text": "the final Ctx is larger than SWARM_INPUT_LIMIT; it stays in"
                " Redis: select the part you need before the flow ends",
            }
        except Vanished:
            logger.info("run %s has no Ctx in Redis", run.pk)
        except (ValueError, RecursionError) as error:
            run.error = run.error or {
                "kind": "ResultUnreadable",
                "text": f"the final Ctx can't be kept as JSON: {error}",
            }
        return None

    def _save(self, batch: Batch) -> None:
        upsert(
            RunEvent,
            batch.events,
            unique=["run_id", "generation", "number"],
            columns=["run_id", "generation", "number", "at", "kind", "data"],
        )
        changing = ["agent", "kind", "status", "attempts", "started_at", "finished_at"]
        upsert(
            Step,
            batch.steps.values(),
            unique=["run_id", "generation", "place"],
            columns=["run_id", "generation", "place", "key", *changing],
            update=changing,
        )
        self._save_attempts(batch)
        update_rows(
            Run,
            [run for run in batch.runs.values() if run.status not in FINAL_RUN],
            RUN_COLUMNS,
        )
        update_rows(
            Run,
            [batch.runs[pk] for pk in set(batch.ended)],
            [*RUN_COLUMNS, "finished_at", "error", "result"],
        )

    def _save_attempts(self, batch: Batch) -> None:
        new = {key: step for key, step in batch.steps.items() if step.pk is None}
        for pages in _pages({key[2] for key in new}):
            found = Step.objects.filter(
                run_id__in={key[0] for key in new}, place__in=pages
            )
            for pk, *key in found.values_list("pk", "run_id", "generation", "place"):
                if (step := new.get((key[0], key[1], key[2]))) is not None:
                    step.pk = pk
        for (key, _), attempt in batch.attempts.items():
            attempt.step_id = batch.steps[key].pk
        changing = ["status", "started_at", "finished_at", "error", "worker"]
        upsert(
            Attempt,
            batch.attempts.values(),
            unique=["step_id", "number"],
            columns=["step_id", "number", *changing],
            update=changing,
        )

    def _retire(self, run: Run) -> None:
        """Forget a run's keys once its last entry is archived."""
        if run.result is None and (run.error or {}).get("kind") == "ResultTooLarge":
            return
        head = self._store.head(run.pk)
        if head is not None and head.number == run.archived_number:
            self._store.remove(run.pk)


def _cancel(batch: Batch, run: Run, at: datetime, below: str) -> None:
    """Close the open steps and attempts of a run at or below a place."""
    for (key, _), attempt in batch.attempts.items():
        if key[0] == run.pk and key[2].startswith(below) and not attempt.finished_at:
            attempt.status, attempt.finished_at = "cancelled", at
    for step in batch.steps.values():
        here = step.run_id == run.pk and step.place.startswith(below)
        if here and step.status in OPEN_STEP:
            step.status, step.finished_at = StepStatus.CANCELLED, at
    open_steps = Step.objects.filter(
        run_id=run.pk, status__in=OPEN_STEP, place__startswith=below
    )
    Attempt.objects.filter(step__in=open_steps, finished_at=None).update(
        status="cancelled", finished_at=at
    )
    open_steps.update(status=StepStatus.CANCELLED, finished_at=at)


def _pages(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Return values in lists that fit into one statement's parameters."""
    rest = list(values)
    for at in range(0, len(rest), IN_PAGE):
        yield rest[at : at + IN_PAGE]


def _end(run: Run, event: list[Any], at: datetime) -> None:
    run.status, run.finished_at = RUN_ENDS[event[0]], at
    if event[0] == "run_failed":
        # Ended from outside it has a text only.
        kind, text = event[1:] if len(event) > 2 else ("Failed", event[1])
        run.error = {"kind": kind, "text": text}
    elif event[0] == "run_cancelled":
        run.error = {"kind": "Cancelled", "text": event[1]}


def _kind_of(events: list[list[Any]]) -> str:
    """Return what an entry is called: its first event, what was said coming last."""
    kinds = [event[0] for event in events]
    return next((kind for kind in kinds if kind != "output"), [*kinds, "moved"][0])


def _load(entry: JournalEntry) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(entry.data)
    return data


def final_ctx(store: RedisStore, loader: Loader, run: Run) -> Any:
    """Return the Ctx of a run's root chain as Redis has it; Vanished if it has none."""
    head = store.head(run.pk)
    record = store.record(run.pk, ROOT)
    if head is None or record is None:
        raise Vanished(run.pk)
    prepared = loader.prepared(run.pk, head.program_id)
    ref = Ref(run.pk, run.generation, ROOT)
    return loader.chain(ref, prepared, record).doc.value
