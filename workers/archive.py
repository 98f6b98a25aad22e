"""The archiver: copies the journal from Redis into the database.

Unique by run, generation and number, so doing it again changes nothing. What is
archived stays in the stream a while for those who follow it live.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import transaction

from blueprints.models import Attempt, Run, RunEvent, Step
from engine.run.attempts import step_id
from engine.run.ctx import TooLarge, dump_expanded
from engine.run.load import Loader, Vanished
from engine.run.states import FINAL_RUN, OPEN_STEP, RunStatus, StepStatus
from engine.store.base import ROOT, JournalEntry, Ref
from engine.store.redis import STATE, RedisStore

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
RUN_ENDS: Final = {
    "run_done": RunStatus.DONE,
    "run_failed": RunStatus.FAILED,
    "run_cancelled": RunStatus.CANCELLED,
}
RUN_FIELDS: Final = ["status", "archived_number", "started_at"]
Key = tuple[str, int, str]


@dataclass
class Batch:
    """Rows that one page of the journal makes or changes."""

    runs: dict[str, Run]
    steps: dict[Key, Step] = field(default_factory=dict)
    attempts: dict[tuple[Key, int], Attempt] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


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
        done = 0
        entries = self._store.journal(self._after, BATCH)
        while entries:
            self._write(entries)
            self._after = entries[-1].id
            self._store.wire.call("SET", WATERMARK, self._after)
            done += len(entries)
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

    def _write(self, entries: list[JournalEntry]) -> None:
        with transaction.atomic():
            batch = self._batch(entries)
            for entry in entries:
                if entry.run in batch.runs:
                    self._apply(batch, entry)
            self._close(batch)
            self._save(batch)
        for run in batch.ended:
            self._retire(batch.runs[run])

    def _batch(self, entries: list[JournalEntry]) -> Batch:
        ids = {entry.run for entry in entries}
        runs = {
            run.pk: run
            for run in Run.objects.filter(pk__in=ids).defer("program", "ctx")
        }
        batch = Batch(runs)
        places: set[str] = set()
        for entry in entries:
            for event in _load(entry)["e"]:
                if len(event) > 1 and isinstance(event[1], str):
                    places.add(event[1])
        for step in Step.objects.filter(run_id__in=runs, place__in=places):
            batch.steps[step.run_id, step.generation, step.place] = step
        known = {step.pk: key for key, step in batch.steps.items()}
        for attempt in Attempt.objects.filter(step_id__in=known):
            batch.attempts[known[attempt.step_id], attempt.number] = attempt
        return batch

    def _apply(self, batch: Batch, entry: JournalEntry) -> None:
        run = batch.runs[entry.run]
        if entry.gen != run.generation or entry.number <= run.archived_number:
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
                kind=data["e"][0][0] if data["e"] else "moved",
                data=data,
            )
        )

    def _event(
        self, batch: Batch, run: Run, event: list[Any], at: datetime, who: str
    ) -> None:
        kind = event[0]
        if kind in RUN_ENDS:
            _end(run, event, at)
            batch.ended.append(run.pk)
        elif kind in ("run_started", "run_resumed"):
            run.status = RunStatus.RUNNING
            run.started_at = run.started_at or at
        elif kind == "run_paused":
            run.status = RunStatus.PAUSED
        elif kind == "pending":
            self._step(batch, run, event[1], event[2])
        elif kind == "started":
            self._started(batch, run, event[1], event[2], at, who)
        elif kind in ENDS or kind == "retry":
            self._tried(batch, run, event, at, who)
        elif kind == "lost":
            key = (run.pk, run.generation, event[1])
            attempt = batch.attempts.get((key, event[2]))
            if attempt is not None:
                attempt.status, attempt.finished_at = "lost", at
                attempt.error = "its worker died or lost its lease"

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
        program = self._loader.prepared(run.pk, run.program_id).program
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
            for step in batch.steps.values():
                if step.run_id == pk and step.status in OPEN_STEP:
                    step.status, step.finished_at = (
                        StepStatus.CANCELLED,
                        run.finished_at,
                    )
            Step.objects.filter(run_id=pk, status__in=OPEN_STEP).update(
                status=StepStatus.CANCELLED, finished_at=run.finished_at
            )
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
        return None

    def _save(self, batch: Batch) -> None:
        RunEvent.objects.bulk_create(batch.events, ignore_conflicts=True)
        Step.objects.bulk_create(
            batch.steps.values(),
            update_conflicts=True,
            unique_fields=["run", "generation", "place"],
            update_fields=[
                "agent", "kind", "status", "attempts", "started_at", "finished_at",
            ],
        )  # fmt: skip
        Attempt.objects.bulk_create(
            batch.attempts.values(),
            update_conflicts=True,
            unique_fields=["step", "number"],
            update_fields=["status", "started_at", "finished_at", "error", "worker"],
        )
        live = [run for run in batch.runs.values() if run.status not in FINAL_RUN]
        Run.objects.bulk_update(live, RUN_FIELDS, batch_size=100)
        for run in batch.runs.values():
            if run.status in FINAL_RUN:
                run.save(update_fields=[*RUN_FIELDS, "finished_at", "error", "result"])

    def _retire(self, run: Run) -> None:
        """Forget a run's keys once its last entry is archived."""
        if run.result is None and (run.error or {}).get("kind") == "ResultTooLarge":
            return
        head = self._store.head(run.pk)
        if head is not None and head.number == run.archived_number:
            self._store.remove(run.pk)


def _end(run: Run, event: list[Any], at: datetime) -> None:
    run.status, run.finished_at = RUN_ENDS[event[0]], at
    if event[0] == "run_failed":
        # Ended from outside it has a text only.
        kind, text = event[1:] if len(event) > 2 else ("Failed", event[1])
        run.error = {"kind": kind, "text": text}
    elif event[0] == "run_cancelled":
        run.error = {"kind": "Cancelled", "text": event[1]}


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
