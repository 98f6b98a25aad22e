"""The archiver: copies the journal from Redis into the database.

Unique by run, generation and number, so doing it again changes nothing. What is
archived stays in the stream a while for those who follow it live.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any, Final, TypeAlias

import orjson
import redis
from django.conf import settings
from django.db import ProgrammingError, transaction

from blueprints.models import Run
from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.run.ctx import TooLarge, dump_expanded
from engine.run.entry_shape import LAST_MS, BadEntry, events_of
from engine.run.load import Loader, Vanished
from engine.run.outcomes import as_text
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.base import ROOT, JournalEntry, Ref, RunEnd
from engine.store.dead_letters import JOURNAL
from engine.store.redis import RedisStore
from workers.archive_page import Page, Result, RunRow, ends_run, page_of
from workers.duties import AWAY

logger = logging.getLogger("workers.archive")

BATCH: Final = 500
PAGE_BYTES: Final = 8 << 20
KEEP_MS: Final = 30_000
TURN_S: Final = 0.5
TOO_LARGE: Final = "ResultTooLarge"
NOT_TOLD: Final = "the journal's last entry of this run can't be read: doctor shows why"


Told: TypeAlias = tuple[JournalEntry, dict[str, Any]]
"""An entry and what it says."""


class Archiver:
    """Moves journal entries into the database, in order."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; the watermark is read at the first turn."""
        self._store = store
        self._loader = Loader(
            store,
            cache_bytes=settings.SWARM_CACHE_LIMIT,
            most_joined=2 * settings.SWARM_INPUT_LIMIT,
        )
        self._after: str | None = None
        self._trimmed = self._measured = float("-inf")
        self._keep_ms = KEEP_MS

    def turn(self) -> int:
        """Archive what there is; returns how many entries that were."""
        if self._after is None:
            self._after = self._store.archived()
        done, until = 0, time.monotonic() + TURN_S
        entries = self._store.journal_page(self._after, BATCH, PAGE_BYTES)
        while entries:
            self._write_all(self._read(entries))
            self._after = entries[-1].id
            self._trim(self._after)
            done += len(entries)
            # The steward has other duties, and a lock to keep.
            if time.monotonic() > until:
                break
            entries = self._store.journal_page(self._after, BATCH, PAGE_BYTES)
        # What was kept for live followers grows old without new entries, too.
        if self._after != "0" and time.monotonic() - self._trimmed >= 1.0:
            self._trim(self._after)
        return done

    def behind(self, run: str) -> bool:
        """Tell whether a run's end may still be in the journal: yes, when in doubt."""
        after, until = self._after or "0", time.monotonic() + TURN_S
        while entries := self._store.journal_page(after, BATCH, PAGE_BYTES):
            if any(entry.run == run for entry in entries):
                return True
            after = entries[-1].id
            if time.monotonic() > until:
                return True
        return False

    def _trim(self, upto: str) -> None:
        now = time.monotonic()
        if now - self._measured >= 1.0:
            self._measured = now
            # What is archived must not take the room of what is not.
            crowded = self._store.journal_bytes() > settings.SWARM_JOURNAL_LIMIT // 2
            self._keep_ms = 0 if crowded else KEEP_MS
        self._store.trim(upto, self._keep_ms)
        self._trimmed = now

    def _read(self, entries: list[JournalEntry]) -> list[Told]:
        """Return entries with what they say; those that say nothing are set aside."""
        told: list[Told] = []
        for entry in entries:
            try:
                told.append((entry, events_of(entry)))
            except BadEntry as fault:
                told += self._set_aside(entry, str(fault))
        return told

    def _set_aside(self, entry: JournalEntry, why: str) -> list[Told]:
        """Keep an entry for people to look at; return what is archived in its place.

        That is nothing, but for the last of a run that is over: without it neither
        would the run's row have an end, nor would its keys go away.
        """
        logger.error("journal entry %s is set aside: %s", entry.id, why)
        self._store.bury(JOURNAL, why, entry.data)
        head = self._store.head(entry.run) if entry.run else None
        if head is None or (head.gen, head.number) != (entry.gen, entry.number):
            return []
        if head.status not in FINAL_RUN:
            return []
        end = [f"run_{head.status}"] + [NOT_TOLD] * (head.status != RunStatus.DONE)
        data = {"e": [end]}
        at_ms = min(entry.at_ms, LAST_MS)
        return [(replace(entry, at_ms=at_ms, data=orjson.dumps(data)), data)]

    def _write_all(self, read: list[Told]) -> None:
        """Write a page; one entry that can't be written must not stop all others."""
        try:
            self._write(read)
        except (*AWAY, redis.RedisError, ProgrammingError):
            raise
        except Exception as error:
            if len(read) == 1:
                text = ascii(as_text(str(error)))[1:200]
                why = f"{type(error).__name__}: {text}"
                instead = self._set_aside(read[0][0], why)
                if instead and instead != read:
                    self._write_all(instead)
                return
            for one in read:
                self._write_all([one])

    def _write(self, read: list[Told]) -> None:
        """Write entries in order; what of Redis they need is read between transactions.

        A transaction keeps launches waiting, so it has rows only; and as many results
        are in memory as PAGE_BYTES hold, or one.
        """
        ended = [entry.run for entry, data in read if ends_run(data["e"])]
        ends = self._store.ends(ended)
        part: list[Told] = []
        results: dict[str, Result] = {}
        size = 0
        for entry, data in read:
            part.append((entry, data))
            if not ends_run(data["e"]):
                continue
            result = self._result(entry, next(ends))
            results[entry.run] = result
            size += len(result[0] or b"")
            if size >= PAGE_BYTES:
                self._write_part(part, results)
                part, results, size = [], {}, 0
        if part:
            self._write_part(part, results)

    def _write_part(
        self,
        part: list[Told],
        results: dict[str, Result],
    ) -> None:
        kinds = self._kinds({entry.run for entry, _ in part})

        def kind_of(run: RunRow, agent: str) -> str:
            return kinds.get(run.id, {}).get(agent, "")

        with transaction.atomic():
            page = page_of(part, kind_of)
            for entry, data in part:
                if entry.run in page.runs:
                    page.apply(entry, data)
            page.take(results)
            page.save()
        self._retire(page)

    def _kinds(self, runs: set[str]) -> dict[str, dict[str, str]]:
        """Return the kinds of the agents of runs, as far as their programs are there."""
        kinds: dict[str, dict[str, str]] = {}
        rows = Run.objects.filter(pk__in=runs).values_list("pk", "program_id")
        for pk, program_id in rows:
            try:
                agents = self._loader.prepared(pk, program_id).program.agents
            except Vanished:
                continue
            kinds[pk] = {name: agent.kind for name, agent in agents.items()}
        return kinds

    def _result(self, entry: JournalEntry, end: RunEnd | None) -> Result:
        """Return the final Ctx of a run that an entry ends."""
        if end is None:
            logger.info("run %s has no Ctx in Redis", entry.run)
            return None, None
        try:
            prepared = self._loader.prepared(entry.run, end.head.program_id)
            ref = Ref(entry.run, entry.gen, ROOT)
            if end.base is not None:
                self._loader.keep_base(entry.run, end.record.base_id, end.base)
            chain = self._loader.chain(ref, prepared, end.record, end.log)
            text = dump_expanded(chain.doc.value, settings.SWARM_INPUT_LIMIT)
        except TooLarge:
            return None, {
                "kind": TOO_LARGE,
                "text": "the final Ctx is larger than SWARM_INPUT_LIMIT, or made of"
                " more; it stays in Redis: select the part you need before the flow"
                " ends",
            }
        except Vanished:
            logger.info("run %s has no Ctx in Redis", entry.run)
            return None, None
        except (TypeError, ValueError, RecursionError) as error:
            return None, _unreadable(str(error))
        finally:
            self._loader.forget_base(entry.run, end.record.base_id)
        if text_depth(text) > MAX_DEPTH:
            return None, _unreadable(f"nested deeper than {MAX_DEPTH} containers")
        return text, None

    def _retire(self, page: Page) -> None:
        """Forget the keys of runs whose last entry is archived."""
        runs = [page.runs[pk] for pk in page.retired.union(page.ended)]
        self._store.remove_all(
            (run.id, run.archived_number)
            for run in runs
            if run.result is not None or (run.error or {}).get("kind") != TOO_LARGE
        )


def _unreadable(why: str) -> dict[str, Any]:
    text = as_text(f"the final Ctx can't be kept as JSON: {why}")
    return {"kind": "ResultUnreadable", "text": text}
