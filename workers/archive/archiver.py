"""The archiver: copies the journal from Redis into the database.

An entry is unique by run, generation and number, so archiving it again changes nothing.
Archived entries stay in the stream for a while, for live followers.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from typing import Any, Final

import redis
from cachetools import LRUCache
from django.conf import settings
from django.db import ProgrammingError, transaction

from blueprints.command_line import typed
from blueprints.conf import output_store
from blueprints.models import Run
from blueprints.selectors.run_generations import GenerationKey, generation_rows
from blueprints.services.installations import (
    installation_get,
    installation_server_lock,
)
from blueprints.services.outputs import check_outputs
from engine.blueprint import Program
from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.output_store import OutputMissing, OutputsAway
from engine.run.attempt.outcomes import as_text
from engine.run.chain.ctx import TooLarge, dump_expanded
from engine.run.chain.outputs import reference
from engine.run.journal.entries import (
    LAST_MS,
    BadEntry,
    Content,
    gap_of,
    pack_entry,
    read_entry,
)
from engine.run.journal.projection import ends_run
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.base import (
    ROOT,
    JournalEntry,
    Ref,
    RunEnd,
    Vanished,
    generation_key,
)
from engine.store.dead_letters import JOURNAL
from engine.store.redis import RedisStore
from engine.store.wire import UNRECONCILED, Unreconciled
from workers.archive.rows import ReadEntry, Result, RowChanges, key_of
from workers.wiring import AWAY, make_loader

logger = logging.getLogger("workers.archive.archiver")

BATCH: Final = 500
PAGE_BYTES: Final = 8 << 20
KEEP_MS: Final = 30_000
TURN_S: Final = 0.5
MOST_REASONS: Final = 1_000
"""Entries that were set aside whose reasons are kept for the gap that they leave."""
TOO_LARGE: Final = "ResultTooLarge"
AWAY_RESULT: Final = "ResultAway"
IN_REDIS: Final = (TOO_LARGE, AWAY_RESULT)
"""The errors of runs whose final Ctx stays in Redis."""
MOST_TRIES: Final = 10
"""Turns that wait for one content while the store of outputs gives its others."""
LARGEST: Final = 4
"""How many times SWARM_INPUT_LIMIT a final Ctx may have that is kept."""
UNREADABLE: Final = (
    "the journal's last entry of this run can't be read: doctor shows why"
)


class Archiver:
    """Moves journal entries into the database, in order."""

    def __init__(self, store: RedisStore) -> None:
        """Bind a store; each turn reads the watermark."""
        self._store = store
        self._loader = make_loader(store, LARGEST * settings.SWARM_INPUT_LIMIT)
        self._after = "0"
        self.server: str | None = None
        """The server process that was compared last, as it was before a page was read."""
        self._reasons: LRUCache[tuple[str, int, int], str] = LRUCache(MOST_REASONS)
        """Why entries were set aside, until an entry that follows shows the gap."""
        self._tries = 0
        """How many turns in a row have failed for a content."""
        self._trimmed = self._measured = float("-inf")
        self._keep_ms = KEEP_MS

    def turn(self) -> int:
        """Archive the entries of the stream; return how many they were."""
        if self.server is None:
            self.server = installation_get().server
        # Not what it was: Redis may have lost the entries since, and the mark with them.
        self._after = self._store.archived()
        done, until = 0, time.monotonic() + TURN_S
        entries = self._store.journal_page(self._after, BATCH, PAGE_BYTES)
        while entries:
            self._write_all(self._read(entries))
            self._after = entries[-1].id
            self._trim(self._after)
            self._store.release(self._after)
            done += len(entries)
            # The bookkeeper has other duties.
            if time.monotonic() > until:
                break
            entries = self._store.journal_page(self._after, BATCH, PAGE_BYTES)
        self._tries = 0
        if not done:
            # Messages may wait for entries that were archived before.
            self._store.release(self._after)
        # Entries that were kept for live followers expire without new entries, too.
        if self._after != "0" and time.monotonic() - self._trimmed >= 1.0:
            self._trim(self._after)
        return done

    def _trim(self, upto: str) -> None:
        now = time.monotonic()
        if now - self._measured >= 1.0:
            self._measured = now
            # Archived entries must leave room for new ones.
            crowded = self._store.journal_bytes() > settings.SWARM_JOURNAL_LIMIT // 2
            self._keep_ms = 0 if crowded else KEEP_MS
        self._store.trim(upto, self._keep_ms)
        self._trimmed = now

    def _read(self, entries: list[JournalEntry]) -> list[ReadEntry]:
        """Return entries with their contents; set aside bad ones."""
        read: list[ReadEntry] = []
        for entry in entries:
            try:
                read.append((entry, read_entry(entry)))
            except BadEntry as fault:
                read += self._set_aside(entry, str(fault))
        return read

    def _set_aside(self, entry: JournalEntry, why: str) -> list[ReadEntry]:
        """Make an entry a dead letter; return the entries to archive in its place.

        Only the last entry of an ended run is replaced: otherwise the run's row would
        have no end, and its keys would stay. A gap for any other is made when the entry
        after it comes, since a bad entry may name any run and number. An open run whose
        last entry it is has a gap from now on: contents may be named in it alone.
        """
        logger.error("journal entry %s is set aside: %s", entry.id, why)
        self._store.bury(JOURNAL, why, entry.data)
        self._reasons[entry.run, entry.gen, entry.number] = why
        key = generation_key(entry.run, entry.gen)
        head = self._store.head_of(key) if entry.run else None
        if head is None or head.number != entry.number:
            return []
        if head.status not in FINAL_RUN:
            run = Run.objects.filter(pk=entry.run, generation=entry.gen)
            text = f"entry {entry.number}: {why}"
            run.filter(unreplayable="").update(unreplayable=text)
            return []
        end = [f"run_{head.status}"] + [UNREADABLE] * (head.status != RunStatus.DONE)
        events = [gap_of(entry.number, why), end]
        data = pack_entry(ROOT, 0, "", events)
        at_ms = min(entry.at_ms, LAST_MS)
        return [(replace(entry, at_ms=at_ms, data=data), Content(events, "", ROOT))]

    def _write_all(self, read: list[ReadEntry]) -> None:
        """Write entries; one that can't be written must not stop the others."""
        try:
            self._write(read)
        except (*AWAY, OutputsAway, redis.RedisError, ProgrammingError):
            raise
        except Exception as error:
            if len(read) > 1:
                for one in read:
                    self._write_all([one])
                return
            text = ascii(as_text(str(error)))[1:200]
            instead = self._set_aside(read[0][0], f"{type(error).__name__}: {text}")
            if instead and instead != read:
                self._write_all(instead)

    def _write(self, read: list[ReadEntry]) -> None:
        """Write entries in order; read from Redis only between transactions.

        A transaction delays launches, so it only writes rows. The results in memory have
        at most PAGE_BYTES, or are one.
        """
        ending = [key_of(entry) for entry, content in read if ends_run(content.events)]
        ends = self._store.ends([generation_key(*key) for key in ending])
        part: list[ReadEntry] = []
        results: dict[GenerationKey, Result] = {}
        size = 0
        for entry, content in read:
            part.append((entry, content))
            if not ends_run(content.events):
                continue
            result = results[key_of(entry)] = self._result(entry, next(ends))
            size += len(result.text or b"")
            if size >= PAGE_BYTES:
                self._write_part(part, results)
                part, results, size = [], {}, 0
        if part:
            self._write_part(part, results)

    def _write_part(
        self, part: list[ReadEntry], results: dict[GenerationKey, Result]
    ) -> None:
        programs = self._programs({key_of(entry) for entry, _ in part})
        with transaction.atomic():
            self._check_server()
            changes = RowChanges(part, programs, self._reasons)
            changes.save(results)
        self._retire(changes, results)

    def _check_server(self) -> None:
        """Raise Unreconciled if Redis was compared since the page of entries was read.

        It may have lost them, and the comparison has not seen them in the archive.
        """
        server = installation_server_lock()
        if server != self.server:
            self.server = None
            raise Unreconciled(UNRECONCILED)

    def _programs(self, keys: set[GenerationKey]) -> dict[GenerationKey, Program]:
        """Return the programs of generations, without those that Redis has lost."""
        programs: dict[GenerationKey, Program] = {}
        for key, _, (program_id,) in generation_rows(keys, "program_id"):
            with contextlib.suppress(Vanished):
                prepared = self._loader.prepared(generation_key(*key), program_id)
                programs[key] = prepared.program
        return programs

    def _result(self, entry: JournalEntry, end: RunEnd | None) -> Result:
        """Return the final Ctx of the run that an entry ends."""
        if end is None:
            logger.info("run %s has no Ctx in Redis", entry.run)
            return Result()
        ref, limit = Ref(entry.run, entry.gen, ROOT), settings.SWARM_INPUT_LIMIT
        try:
            prepared = self._loader.prepared(ref.key, end.head.program_id)
            if end.base is not None:
                self._loader.keep_base(ref.key, end.record.base_id, end.base)
            chain = self._loader.chain(ref, prepared, end.record, end.log)
            text = dump_expanded(chain.doc.value, LARGEST * limit)
        except TooLarge:
            return Result(error=_too_large(LARGEST * limit))
        except Vanished:
            logger.info("run %s has no Ctx in Redis", entry.run)
            return Result()
        except (TypeError, ValueError, RecursionError, OutputMissing) as error:
            return Result(error=_unreadable(str(error)))
        except OutputsAway as error:
            return self._without(entry.run, error)
        finally:
            self._loader.forget_base(ref.key, end.record.base_id)
        if text_depth(text) > MAX_DEPTH:
            why = f"nested deeper than {MAX_DEPTH} containers"
            return Result(error=_unreadable(why))
        if len(text) <= limit:
            return Result(text)
        try:
            output_store().put(text)
        except OutputsAway as error:
            return self._without(entry.run, error)
        return Result(output=reference(f"{ref.key}/end", text, chain.doc.value))

    def _without(self, run: str, error: OutputsAway) -> Result:
        """Return that a final Ctx stays in Redis; raise `error` while the archive waits.

        Only a store that is away altogether may stop the archive of all other runs.
        """
        check_outputs()
        self._tries += 1
        if self._tries < MOST_TRIES:
            raise error
        logger.error("run %s ends without its final Ctx: %s", run, error)
        text = (
            f"the final Ctx can't be kept in its row, so it stays in Redis: {error}. When"
            f" that is mended, this shows it: {typed(f'runs replay {run}')}"
        )
        return Result(error={"kind": AWAY_RESULT, "text": as_text(text)})

    def _retire(
        self, changes: RowChanges, results: dict[GenerationKey, Result]
    ) -> None:
        """Remove the keys of ends whose last entry is archived, and whose result is."""
        self._store.remove_all(
            (generation_key(*key), changes.numbers[key])
            for key in changes.retired | changes.ended
            if (changes.runs[key].run.error or {}).get("kind") not in IN_REDIS
            or results.get(key, Result()).text is not None
        )


def _too_large(most: int) -> dict[str, Any]:
    return {
        "kind": TOO_LARGE,
        "text": f"the final Ctx, written as JSON, is larger than {LARGEST} x"
        f" SWARM_INPUT_LIMIT ({most} bytes), so it stays in Redis and has no copy"
        " elsewhere. Let the fanout `select` the part you need, or `delete` large values"
        " before the flow ends, then start a new run",
    }


def _unreadable(why: str) -> dict[str, Any]:
    text = as_text(f"the final Ctx can't be kept as JSON: {why}")
    return {"kind": "ResultUnreadable", "text": text}
