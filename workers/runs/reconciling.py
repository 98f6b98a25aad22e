"""Compare the data of Redis with the archive, whenever they may have gone back or are gone.

Nothing is claimed until one process that has the database has ended what lags behind the
archive, and marked the rows of these runs. Their recovery (recovery.py) comes later.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from blueprints.command_line import counted_as, typed
from blueprints.models import DeletedRun, Installation, Run
from blueprints.selectors.run_generations import generation_rows
from blueprints.services.installations import installation_get, installation_lock
from engine.run.states import RunStatus
from engine.store.base import RunHead, generation_key
from engine.store.reconciling import Standing
from engine.store.redis import RedisStore
from workers.broker.installation import (
    ForeignRedis,
    foreign_redis_text,
    older_redis_text,
)
from workers.broker.transport import state_url
from workers.embedded_server.files import read_server_info

logger = logging.getLogger(__name__)

LIVE: Final = (RunStatus.RUNNING, RunStatus.PAUSED)
"""The statuses of a run whose state is in Redis."""
PAGE: Final = 500
LOST: Final = "RedisLost"
WAITS: Final = (
    "Redis does not have this run as the archive has it, and it is not the server that was"
    " used last. If no other server goes on with this run, rebuild it from the archive"
    " with: {recover}"
)


def reconcile(store: RedisStore) -> Installation:
    """Compare the data of Redis with the archive unless that is done; return the installation.

    Raises ForeignRedis for a Redis with which this database has nothing to do.
    """
    standing, row = store.standing(), installation_get()
    if standing.is_reconciled and _is_ours(standing, row):
        return row
    with transaction.atomic():
        row = installation_lock()
        standing = store.standing()
        if standing.owner not in ("", row.name):
            raise ForeignRedis(foreign_redis_text())
        if standing.epoch and row.epoch and standing.epoch != row.epoch:
            raise ForeignRedis(older_redis_text())
        place = embedded_place()
        is_same = bool(standing.server) and standing.server == row.server
        is_known = is_same or bool(place and place == row.place)
        # An empty Redis that is not the one before has data of its own from now on.
        keeps = standing.epoch or (row.epoch if is_known else "")
        row.epoch = keeps or uuid.uuid4().hex
        row.server, row.place = standing.server, place
        lost = Comparison(store, row.epoch, is_known).lost()
        row.save()
    store.reconcile(row.server, row.epoch, row.name)
    if lost:
        runs = counted_as(lost, "run")
        logger.warning("Redis has lost %s, or has an older state of it", runs)
    return row


def _is_ours(standing: Standing, row: Installation) -> bool:
    return (standing.owner, standing.epoch) == (row.name, row.epoch)


def embedded_place() -> str:
    """Return which embedded server is used, by a note beside its data; empty for another.

    A copy of the database elsewhere has another note, or none.
    """
    info = read_server_info(settings.VAR_DIR)
    if info is None or state_url().options.get("path") != info.socket_path:
        return ""
    note = Path(settings.VAR_DIR) / "redis.id"
    try:
        return note.read_text().strip()
    except FileNotFoundError:
        note.write_text(uuid.uuid4().hex)
        return note.read_text().strip()


class Comparison:
    """Compares the open runs of the database with those of Redis."""

    def __init__(self, store: RedisStore, epoch: str, is_known: bool) -> None:
        """Bind the parts; what an unknown server has lost waits for a person."""
        self._store = store
        self._epoch = epoch
        self._is_known = is_known

    def lost(self) -> int:
        """End and mark the runs that Redis has lost; return how many those are."""
        here = self._store.open_generations()
        lost = 0
        for page in _pages(Run.objects.filter(status__in=(RunStatus.PENDING, *LIVE))):
            heads = self._store.heads([_key(run) for run in page])
            for run, head in zip(page, heads, strict=True):
                here.discard((run.pk, run.generation))
                if run.status == RunStatus.PENDING:
                    lost += self._keep_pending(run, head)
                elif lags(run, head):
                    self._store.freeze(_key(run))
                    lost += mark_lost(run, waits=not self._is_known)
        self._end_others(here - self._take_back(here))
        return lost

    def _keep_pending(self, run: Run, head: RunHead | None) -> int:
        """Let a run that was not started, as far as is known, start here or wait."""
        if head is not None or run.epoch == self._epoch:
            return 0
        if self._is_known:
            Run.objects.filter(pk=run.pk).update(epoch=self._epoch)
            return 0
        return mark_lost(run, waits=True)

    def _take_back(self, here: set[tuple[str, int]]) -> set[tuple[str, int]]:
        """Let runs go on that waited as another server had not them; return their keys."""
        waiting = Run.objects.filter(
            pk__in={run for run, _ in here},
            status=RunStatus.INTERRUPTED,
            error__kind=LOST,
        )
        back: set[tuple[str, int]] = set()
        for page in _pages(waiting.exclude(lost_status="")):
            runs = [run for run in page if (run.pk, run.generation) in here]
            heads = self._store.heads([_key(run) for run in runs])
            for run, head in zip(runs, heads, strict=True):
                if not lags(run, head):
                    back.add((run.pk, run.generation))
        names = {run for run, _ in back}
        Run.objects.filter(pk__in=names, status=RunStatus.INTERRUPTED).update(
            status=F("lost_status"), lost_status="", error=None
        )
        return back

    def _end_others(self, here: set[tuple[str, int]]) -> None:
        """End what is open in Redis, though its run is over, deleted or goes on elsewhere."""
        deleted = DeletedRun.objects.filter(pk__in={run for run, _ in here})
        names = set(deleted.values_list("pk", flat=True))
        over = {key for key in here if key[0] in names}
        for key in over.union(key for key, *_ in generation_rows(here)):
            self._store.freeze(generation_key(*key))


def _pages(runs: QuerySet[Run]) -> Iterator[list[Run]]:
    names = ("status", "generation", "archived_number", "epoch", "lost_status")
    after = ""
    while page := list(runs.filter(pk__gt=after).only(*names).order_by("pk")[:PAGE]):
        yield page
        after = page[-1].pk


def _key(run: Run) -> str:
    return generation_key(run.pk, run.generation)


def lags(run: Run, head: RunHead | None) -> bool:
    """Return whether Redis has less of a run than the archive."""
    return head is None or head.number < run.archived_number


def mark_lost(run: Run, *, waits: bool) -> int:
    """Mark a run that Redis has lost; return how many rows changed.

    One that `waits` is interrupted until `runs recover`; any other is recovered soon.
    """
    fields: dict[str, object] = {"lost_status": run.lost_status or run.status}
    if waits:
        text = WAITS.format(recover=typed(f"runs recover {run.pk}"))
        fields |= {
            "status": RunStatus.INTERRUPTED,
            "error": {"kind": LOST, "text": text},
        }
    as_it_was = Run.objects.filter(
        pk=run.pk, generation=run.generation, status=run.status
    )
    changed = as_it_was.update(**fields)
    return 0 if run.lost_status else changed
