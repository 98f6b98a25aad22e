"""Delete ended runs: only those of which Redis has nothing any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from blueprints.models import Run
from blueprints.selectors.run_generations import run_generations
from blueprints.services.retention import (
    programs_delete_unused,
    run_delete,
    run_mark_deleted,
    runs_after,
    runs_ended_before,
    unfinished_deletions,
)
from engine.run.states import FINAL_RUN
from engine.store.base import generation_key
from engine.store.redis import RedisStore

PAGE: Final = 100


class StillNeeded(Exception):
    """A run can't be deleted; the text says why."""


@dataclass(slots=True)
class Pruned:
    """What a round of deletions has done; `is_done` is False where more is left."""

    runs: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Runs that were to be deleted and could not, with the reason."""
    is_done: bool = True


def delete_run(
    store: RedisStore,
    run: Run,
    deleted_by: str,
    goes_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Delete a run and leave a DeletedRun; return False if `goes_on` has ended that.

    Raise StillNeeded for a run that is open, or not archived to its end.
    """
    if run.status not in FINAL_RUN:
        raise StillNeeded(
            f"it is {run.status}, and only ended runs are deleted: cancel it first"
        )
    rows = [
        (generation_key(run.pk, one.generation), one) for one in run_generations(run)
    ]
    store.remove_all((key, one.archived_number) for key, one in rows)
    if any(store.head_of(key) is not None for key, _ in rows):
        raise StillNeeded(
            "its end is not archived yet: try again when a worker's steward has done so"
        )
    deleted = run_mark_deleted(run.pk, deleted_by)
    return deleted is None or run_delete(deleted, goes_on)


def prune(
    store: RedisStore, days: int, deleted_by: str, seconds: float | None = None
) -> Pruned:
    """Delete the runs that ended more than some days ago, and unused programs.

    Interrupted deletions are finished first. It ends after some seconds, if given.
    """
    pruned, began = Pruned(), time.monotonic()

    def goes_on() -> bool:
        return seconds is None or time.monotonic() - began < seconds

    for deleted in unfinished_deletions():
        if not run_delete(deleted, goes_on):
            pruned.is_done = False
            return pruned
        pruned.runs.append(deleted.pk)
    for run in _old_runs(days):
        try:
            if not goes_on() or not delete_run(store, run, deleted_by, goes_on):
                pruned.is_done = False
                return pruned
        except StillNeeded as error:
            pruned.kept[run.pk] = str(error)
        else:
            pruned.runs.append(run.pk)
    while goes_on() and programs_delete_unused():
        pass
    return pruned


def _old_runs(days: int) -> Iterator[Run]:
    """Yield the runs that ended more than some days ago, oldest first, page by page."""
    old = runs_ended_before(days).only(
        "status", "generation", "archived_number", "created_at"
    )
    page = list(old[:PAGE])
    while page:
        yield from page
        page = list(runs_after(old, page[-1])[:PAGE])


def prune_by_settings(store: RedisStore, seconds: float) -> Pruned | None:
    """Delete what SWARM_RETENTION says, for some seconds, if SWARM_PRUNE asks for it."""
    if not settings.SWARM_PRUNE:
        return None
    days = settings.SWARM_RETENTION
    return prune(store, days, f"SWARM_PRUNE, after {days} days", seconds)
