"""The protocol of a change: note it, make it in the store, write its rows, drop the note.

A process may die at any point. The next reader or writer of the Blueprint finds the note
and settles it: what the store did is written to the rows, what it did not is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from blueprints.conf import blueprint_store
from blueprints.index.examination import Examined
from blueprints.index.rows import catch_up
from blueprints.models import BlueprintEvent, BlueprintIntent, BlueprintVersion
from engine.blueprint_store import (
    BlueprintStoreError,
    BlueprintUnknown,
    Content,
    StoreBusy,
    StoreUnusable,
)
from engine.flow.json_text import Json

logger = logging.getLogger(__name__)

LEFT_S: Final = 15
"""A note older than this was left by a process that died, or by one that hangs."""


@contextmanager
def changing(
    id: str,
    event: Mapping[str, Json],
    known: Mapping[str, tuple[Examined, Content]] | None = None,
) -> Iterator[None]:
    """Make one change of a Blueprint in the store within the block; then write its rows.

    `event` are the columns of its BlueprintEvent, `known` documents that were examined
    already. Don't call it within a transaction, which would hide the note.
    """
    with blueprint_store().hold(id):
        _settle_held(id)
        before = standing_of(id)
        note = BlueprintIntent.objects.create(
            blueprint_id=id, before=before, event=dict(event)
        )
        try:
            yield
        except StoreUnusable:
            # Nobody knows whether the change was made; the next one looks.
            raise
        except BlueprintStoreError:
            note.delete()
            raise
        _finish(note, known)


def settle(id: str) -> None:
    """Finish or forget the change that a process left when it died, if there is one."""
    if BlueprintIntent.objects.filter(pk=id).exists():
        with blueprint_store().hold(id):
            _settle_held(id)


def settle_old() -> None:
    """Settle the changes of all Blueprints that were left; those under way are not."""
    before = timezone.now() - timedelta(seconds=LEFT_S)
    left = BlueprintIntent.objects.filter(at__lt=before)
    for id in left.values_list("pk", flat=True):
        try:
            settle(id)
        except (StoreBusy, StoreUnusable) as error:
            logger.warning("a change of Blueprint %s is not settled: %s", id, error)


def standing_of(id: str) -> dict[str, Json] | None:
    """Return what can be moved of a Blueprint as JSON, None if it does not exist."""
    try:
        standing = blueprint_store().standing(id)
    except BlueprintUnknown:
        return None
    mark = standing.archived
    return {
        "head": standing.head.id,
        "archived": None if mark is None else mark.at.isoformat(),
        "aliases": {name: one.commit for name, one in standing.aliases.items()},
    }


def _settle_held(id: str) -> None:
    # While the Blueprint is held, a note is one that nobody will finish.
    note = BlueprintIntent.objects.filter(pk=id).first()
    if note is not None:
        _finish(note, None)


def _finish(
    note: BlueprintIntent, known: Mapping[str, tuple[Examined, Content]] | None
) -> None:
    id, before = note.pk, note.before
    after = standing_of(id)
    with transaction.atomic():
        if after != before:
            catch_up(id, known)
            BlueprintEvent.objects.create(
                blueprint_id=id,
                at=note.at,
                **note.event,
                **_moved(note, before or {}, after or {}),
            )
        note.delete()


def _moved(
    note: BlueprintIntent, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, str]:
    """Return the columns of an event that say from which version to which."""
    alias = note.event["data"].get("alias")

    def commit_in(standing: Mapping[str, Any]) -> str:
        if alias is None:
            return standing.get("head") or ""
        return standing.get("aliases", {}).get(alias, "")

    old, new = commit_in(before), commit_in(after)
    rows = BlueprintVersion.objects.filter(blueprint=note.pk, commit__in=[old, new])
    versions = dict(rows.values_list("commit", "version"))
    return {
        "old_commit": old,
        "old_version": versions.get(old, ""),
        "new_commit": new,
        "new_version": versions.get(new, ""),
    }
