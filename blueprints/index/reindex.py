"""Make the index of the store of Blueprints anew, and say what was different."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from blueprints.conf import blueprint_store
from blueprints.index.intents import settle
from blueprints.index.rows import History, catch_up, standing_columns
from blueprints.models import (
    Blueprint,
    BlueprintEvent,
    BlueprintIntent,
    BlueprintVersion,
)
from engine.blueprint_store import Author, BlueprintUnknown
from engine.flow.json_text import Json
from engine.visible import visible

MOST_TOLD: Final = 20
"""The most differences that an event repeats."""
GONE: Final = "the repository has no such commit any more"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the index had otherwise than the store; `commit` is empty for a Blueprint."""

    id: str
    commit: str
    text: str

    def __str__(self) -> str:
        where = f" {self.commit[:12]}" if self.commit else ""
        return visible(f"{self.id}{where}: {self.text}")


def blueprint_reindex(id: str | None = None, *, by: Author) -> list[Difference]:
    """Write all rows about one Blueprint, or about all, anew; return the differences.

    A Blueprint with differences gets an event that says who has corrected them. Rows of
    what the store does not have are removed, except for versions that runs name: those
    are marked. Raise BlueprintUnknown if neither store nor index has the Blueprint.
    """
    store = blueprint_store()
    if id is not None:
        ids = {id}
    else:
        rows = Blueprint.objects.values_list("pk", flat=True)
        left = BlueprintIntent.objects.values_list("pk", flat=True)
        ids = {*store.ids(), *rows, *left}
    different: list[Difference] = []
    for each in sorted(ids):
        if found := _reindex(each, must=id is not None):
            texts: list[Json] = [str(one) for one in found[:MOST_TOLD]]
            BlueprintEvent.objects.create(
                blueprint_id=each,
                verb="reindexed",
                actor_name=by.name,
                actor_email=by.email,
                data={"count": len(found), "differences": texts},
            )
        different += found
    return different


def _reindex(id: str, *, must: bool) -> list[Difference]:
    store = blueprint_store()
    settle(id)
    with store.hold(id):
        found = Blueprint.objects.filter(pk=id).first()
        try:
            standing = store.standing(id)
        except BlueprintUnknown:
            if found is None and must:
                raise
            return [] if found is None else list(_remove(found))
        different: list[Difference] = []
        if found is None:
            different.append(Difference(id, "", "was not in the index"))
        else:
            now = standing_columns(found, standing)
            names = [
                name for name, value in now.items() if getattr(found, name) != value
            ]
            different += [Difference(id, "", f"{name} was different") for name in names]
        with transaction.atomic():
            row = catch_up(standing)
    return [*different, *_compare_commits(row)]


def _compare_commits(row: Blueprint) -> Iterator[Difference]:
    """Write the rows of commits that differ; commits never change, so nobody waits."""
    history = History(row.pk)
    seen: set[str] = set()
    for commit in reversed(list(blueprint_store().walk(row.pk))):
        seen.add(commit.id)
        version = row.versions.get(commit=commit.id)
        columns = history.columns(commit, version.identities)
        wrong = [name for name in columns if getattr(version, name) != columns[name]]
        if wrong:
            row.versions.filter(pk=version.pk).update(**columns)
            names = ", ".join(wrong)
            yield Difference(row.pk, commit.id, f"{names} was different")
    # One that was made in the meantime is in the store, too.
    for version in row.versions.exclude(commit__in=seen):
        if not blueprint_store().contains(row.pk, version.commit):
            yield from _drop(version)


def _remove(row: Blueprint) -> Iterator[Difference]:
    for version in row.versions.all():
        yield from _drop(version)
    if not row.versions.exists():
        row.delete()
        yield Difference(row.pk, "", "the repository does not have it any more")


def _drop(version: BlueprintVersion) -> Iterator[Difference]:
    where: tuple[Any, ...] = (version.blueprint_id, version.commit)
    if not version.runs.exists():
        version.delete()
        yield Difference(*where, f"{GONE}; its row is removed")
    elif version.fault != GONE:
        version.fault = GONE
        version.save()
        yield Difference(*where, f"{GONE}; its row stays, since runs name it")
