"""The archiver: copies the journal from Redis into the database.

Unique by run, generation and number, so doing it again changes nothing. What is
archived stays in the stream a while for those who follow it live.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django.conf import settings
from django.db import DatabaseError, OperationalError, transaction

from engine.run.ctx import TooLarge, dump_expanded
from engine.run.load import Loader, Vanished
from engine.run.outcomes import as_text
from engine.store.base import ROOT, JournalEntry, Ref, RunEnd
from engine.store.redis import RedisStore
from workers.archive_page import Page, RunRow, content, page_of

logger = logging.getLogger("workers.archive")

BATCH: Final = 500
KEEP_MS: Final = 30_000
TURN_S: Final = 0.5
TOO_LARGE: Final = "ResultTooLarge"


class Archiver:
    """Moves journal entries into the database, in order."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; the watermark is read at the first turn."""
        self._store = store
        self._loader = Loader(store)
        self._after: str | None = None
        self._trimmed = self._measured = float("-inf")
        self._keep_ms = KEEP_MS

    def turn(self) -> int:
        """Archive what there is; returns how many entries that were."""
        if self._after is None:
            self._after = self._store.archived()
        done, until = 0, time.monotonic() + TURN_S
        entries = self._store.journal(self._after, BATCH)
        while entries:
            self._write_all(entries)
            self._after = entries[-1].id
            self._trim(self._after)
            done += len(entries)
            # The steward has other duties, and a lock to keep.
            if time.monotonic() > until:
                break
            entries = self._store.journal(self._after, BATCH)
        # What was kept for live followers grows old without new entries, too.
        if self._after != "0" and time.monotonic() - self._trimmed >= 1.0:
            self._trim(self._after)
        return done

    def behind(self, run: str) -> bool:
        """Tell whether a run's end may still be in the journal: yes, when in doubt."""
        after, until = self._after or "0", time.monotonic() + TURN_S
        while entries := self._store.journal(after, BATCH):
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
        read = [(entry, content(entry)) for entry in entries]
        with transaction.atomic():
            page = page_of(read, self._kind)
            for entry, data in read:
                if entry.run in page.runs:
                    page.apply(entry, data)
            self._read_results(page)
            page.save()
        self._retire(page)

    def _kind(self, run: RunRow, agent: str) -> str:
        try:
            program = self._loader.prepared(run.id, run.program_id).program
        except Vanished:
            return ""
        found = program.agents.get(agent)
        return found.kind if found else ""

    def _read_results(self, page: Page) -> None:
        """Give every run that has ended its final Ctx."""
        ended = list(dict.fromkeys(page.ended))
        for pk, end in zip(ended, self._store.ends(ended), strict=True):
            run = page.runs[pk]
            if end is None:
                logger.info("run %s has no Ctx in Redis", pk)
                continue
            self._read_result(run, end)

    def _read_result(self, run: RunRow, end: RunEnd) -> None:
        try:
            prepared = self._loader.prepared(run.id, end.head.program_id)
            ref = Ref(run.id, run.generation, ROOT)
            if end.base is not None:
                self._loader.keep_base(run.id, end.record.base_id, end.base)
            chain = self._loader.chain(ref, prepared, end.record, end.log)
            run.result = dump_expanded(chain.doc.value, settings.SWARM_INPUT_LIMIT)
        except TooLarge:
            run.error = run.error or {
                "kind": TOO_LARGE,
                "text": "the final Ctx is larger than SWARM_INPUT_LIMIT; it stays in"
                " Redis: select the part you need before the flow ends",
            }
        except Vanished:
            logger.info("run %s has no Ctx in Redis", run.id)
        except (ValueError, RecursionError) as error:
            run.error = run.error or {
                "kind": "ResultUnreadable",
                "text": as_text(f"the final Ctx can't be kept as JSON: {error}"),
            }

    def _retire(self, page: Page) -> None:
        """Forget the keys of runs whose last entry is archived."""
        runs = [page.runs[pk] for pk in page.retired.union(page.ended)]
        self._store.remove_all(
            (run.id, run.archived_number)
            for run in runs
            if run.result is not None or (run.error or {}).get("kind") != TOO_LARGE
        )
