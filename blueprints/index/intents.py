"""The protocol of a change: note the intent, make the change in the store, write its rows.

A process may die at any point. The next reader or writer of the Blueprint finds the
intent and settles it: what the store did is written to the rows, what it did not is
forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from blueprints.conf import blueprint_store
from blueprints.index.examination import Examined
from blueprints.index.rows import catch_up
from blueprints.models import (
    Blueprint,
    BlueprintEvent,
    BlueprintIntent,
    BlueprintVersion,
)
from engine.blueprint_store import (
    BlueprintStoreError,
    BlueprintUnknown,
    Content,
    Standing,
    StoreBusy,
    StoreUnusable,
)
from engine.flow.json_text import Json

logger = logging.getLogger(__name__)

LEFT_S: Final = 15
"""An intent older than this was left by a process that died, or by one that hangs."""


@dataclass(slots=True)
class Change:
    """One change: how the Blueprint stood before, and its row after what was changed."""

    before: Standing | None
    _after: Blueprint | None = None

    @property
    def row(self) -> Blueprint:
        """The row after the block, as this change and no later one has left it."""
        if self._after is None:
            raise RuntimeError("the change is not made yet")
        return self._after

    @property
    def head(self) -> BlueprintVersion:
        """The row of the head after the block."""
        if self.row.head is None:
            raise RuntimeError(f"the rows of {self.row.pk!r} lack its head")
        return self.row.head


@contextmanager
def changing(
    id: str,
    event: Mapping[str, Json],
    known: Mapping[str, tuple[Examined, Content]] | None = None,
) -> Iterator[Change]:
    """Make one change of a Blueprint in the store within the block; then write its rows.

    `event` are the columns of its BlueprintEvent, `known` documents that were examined
    already. Don't call it within a transaction, which would hide the intent.
    """
    with blueprint_store().hold(id):
        _settle_held(id)
        change = Change(standing_of(id))
        intent = BlueprintIntent.objects.create(
            blueprint_id=id, before=_moving(change.before), event=dict(event)
        )
        try:
            yield change
        except StoreUnusable:
            # Nobody knows whether the change was made; the next one looks.
            raise
        except BlueprintStoreError:
            intent.delete()
            raise
        change._after = _finish(intent, known)


def settle(id: str) -> None:
    """Finish or forget the change that a process left when it died, if there is one.

    Of a change that is under way nobody has heard yet, so a reader does not wait for it.
    """
    if BlueprintIntent.objects.filter(pk=id).exists():
        try:
            with blueprint_store().hold(id, wait=False):
                _settle_held(id)
        except StoreBusy:
            pass


def settle_old() -> None:
    """Settle the changes of all Blueprints that were left; those under way are not."""
    before = timezone.now() - timedelta(seconds=LEFT_S)
    left = BlueprintIntent.objects.filter(at__lt=before)
    for id in left.values_list("pk", flat=True):
        try:
            settle(id)
        except StoreUnusable as error:
            logger.warning("a change of Blueprint %s is not settled: %s", id, error)


def standing_of(id: str) -> Standing | None:
    """Return how a Blueprint stands in the store, None if it does not exist."""
    try:
        return blueprint_store().standing(id)
    except BlueprintUnknown:
        return None


def _moving(standing: Standing | None) -> dict[str, Json] | None:
    """Return what can be moved of a Blueprint as JSON."""
    if standing is None:
        return None
    mark = standing.archived
    return {
        "head": standing.head.id,
        "version": standing.head.version,
        "archived": None if mark is None else mark.at.isoformat(),
        "aliases": {name: one.commit for name, one in standing.aliases.items()},
    }


def _settle_held(id: str) -> None:
    # While the Blueprint is held, an intent is one that nobody will finish.
    intent = BlueprintIntent.objects.filter(pk=id).first()
    if intent is not None:
        _finish(intent, None)


def _finish(
    intent: BlueprintIntent, known: Mapping[str, tuple[Examined, Content]] | None
) -> Blueprint | None:
    """Write the rows of a change and drop its intent; return the Blueprint's row."""
    standing = standing_of(intent.pk)
    after = _moving(standing)
    with transaction.atomic():
        # Also where nothing has moved: a database that is new or older lacks rows.
        row = None if standing is None else catch_up(standing, known)
        if after != intent.before:
            BlueprintEvent.objects.create(
                blueprint_id=intent.pk,
                at=intent.at,
                **intent.event,
                **_moved(intent, intent.before or {}, after or {}),
            )
        intent.delete()
    return row


def _moved(
    intent: BlueprintIntent, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, str]:
    """Return the columns of an event that say from which version to which."""
    alias = intent.event["data"].get("alias")
    if alias is None:
        return {
            "old_commit": before.get("head", ""),
            "old_version": before.get("version", ""),
            "new_commit": after.get("head", ""),
            "new_version": after.get("version", ""),
        }
    old, new = (one.get("aliases", {}).get(alias, "") for one in (before, after))
    rows = BlueprintVersion.objects.filter(blueprint=intent.pk, commit__in=[old, new])
    versions = dict(rows.values_list("commit", "version"))
    return {
        "old_commit": old,
        "old_version": versions.get(old, ""),
        "new_commit": new,
        "new_version": versions.get(new, ""),
    }
