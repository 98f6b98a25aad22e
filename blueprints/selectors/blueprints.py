"""Read Blueprints, their versions and what was done to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from blueprints.conf import blueprint_store
from blueprints.index.intents import settle, settle_old
from blueprints.models import Blueprint, BlueprintEvent, BlueprintVersion
from blueprints.models.blueprint_versions import LARGE, tags_text
from engine.blueprint.comparison import Version, blame
from engine.blueprint_store import BlueprintUnknown, CommitUnreadable, Content

_LARGE_OF_HEAD = tuple(f"head__{name}" for name in LARGE)


def blueprint_get(id: str) -> Blueprint:
    """Return a Blueprint with its head; an archived one is found, too.

    Raise BlueprintUnknown. A change that a process left when it died is settled first.
    """
    settle(id)
    rows = Blueprint.objects.select_related("head").defer(*_LARGE_OF_HEAD)
    row = rows.filter(pk=id).first()
    if row is None:
        raise BlueprintUnknown(id)
    return row


def blueprint_list(
    *,
    archived: bool | None = False,
    label: str | None = None,
    tag: str | None = None,
    lint: str | None = None,
    text: str | None = None,
) -> QuerySet[Blueprint]:
    """Return the Blueprints that all filters fit, with their heads, by id.

    `archived` None stands for both. `label`, `tag` and `lint` are those of the head; the
    `text` is searched in id, description, tags and message of the head, without case.
    """
    settle_old()
    rows = Blueprint.objects.select_related("head").defer(*_LARGE_OF_HEAD)
    if archived is not None:
        rows = rows.filter(archived_at__isnull=not archived)
    if label is not None:
        rows = rows.filter(head__label=label)
    if tag is not None:
        rows = rows.filter(head__tags__contains=tags_text([tag]))
    if lint is not None:
        rows = rows.filter(head__verdict=lint)
    for word in (text or "").split():
        places = ("id", "head__description", "head__tags", "head__message")
        fits = Q()
        for place in places:
            fits |= Q(**{f"{place}__icontains": word})
        rows = rows.filter(fits)
    return rows.order_by("id")


def version_list(id: str) -> QuerySet[BlueprintVersion]:
    """Return the history of a Blueprint, the newest first, without the large columns.

    Raise BlueprintUnknown.
    """
    return blueprint_get(id).versions.defer(*LARGE).order_by("-number")


def version_content(version: BlueprintVersion) -> Content:
    """Return the document and source of a version; raise CommitUnreadable."""
    return blueprint_store().read(version.blueprint_id, version.commit)


@dataclass(frozen=True, slots=True)
class VersionBlame:
    """The commits that last changed the nodes of a version by place, its agents by name.

    None stands for a commit before all that were read. `versions` are those that are
    named, by commit.
    """

    nodes: dict[str, str | None]
    agents: dict[str, str | None]
    versions: dict[str, BlueprintVersion]


def version_blame(version: BlueprintVersion, most: int | None = None) -> VersionBlame:
    """Return who last changed what of a version; raise CommitUnreadable.

    Older versions are read as far as needed, and `most` in all.
    """
    if version.fault:
        raise CommitUnreadable(version.blueprint_id, version.commit, version.fault)
    # Only the newest of a line that was repaired by hand is followed.
    rows = version.blueprint.versions.filter(number__lte=version.number, fault="")
    rows, read = rows.order_by("-number").defer("findings"), []

    def history() -> Iterator[Version]:
        for row in rows[:most].iterator(chunk_size=50):
            read.append(row)
            document = version_content(row).document
            yield Version(row.commit, document, row.known_identities)

    found = blame(history())
    # What no version changed that was read is of the last one, or of one before.
    stopped = len(read) == most and rows.count() > len(read)
    left = read[-1].commit if stopped else None

    def settled(commits: dict[str, str]) -> dict[str, str | None]:
        return {
            name: None if commit == left else commit for name, commit in commits.items()
        }

    nodes, agents = settled(found.nodes), settled(found.agents)
    named = {*nodes.values(), *agents.values()}
    versions = {row.commit: row for row in read if row.commit in named}
    return VersionBlame(nodes, agents, versions)


def event_list(id: str) -> QuerySet[BlueprintEvent]:
    """Return what was done to a Blueprint, the newest first; raise BlueprintUnknown."""
    blueprint_get(id)
    return BlueprintEvent.objects.filter(blueprint_id=id).order_by("-id")
