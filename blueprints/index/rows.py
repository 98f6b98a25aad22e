"""Makes rows of what the store has: one for each Blueprint, one for each commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from blueprints.conf import blueprint_store
from blueprints.index.examination import Examined, examine_kept
from blueprints.models import Blueprint, BlueprintVersion
from blueprints.models.blueprint_versions import LARGE
from engine.blueprint.comparison import Identities, Previous, identify
from engine.blueprint_store import (
    BlueprintStoreError,
    Commit,
    Content,
    Standing,
    StoreUnusable,
)

_NONE: Final[Mapping[str, BlueprintVersion]] = {}


def catch_up(
    standing: Standing, known: Mapping[str, tuple[Examined, Content]] | None = None
) -> Blueprint:
    """Write how a Blueprint stands in the store to its rows.

    `known` are documents that were examined already, by their version. The caller holds
    the Blueprint and has opened a transaction.
    """
    id, at = standing.id, standing.head.at
    row = Blueprint.objects.filter(pk=id).first()
    if row is None:
        row = Blueprint.objects.create(id=id, created_at=at, changed_at=at)
    last = row.versions.order_by("-number").defer("findings").first()
    new: list[Commit] = []
    for commit in blueprint_store().walk(id):
        # What has a larger number than all rows is new.
        if last is not None and commit.number <= last.number:
            if commit.id == last.commit:
                break
            if row.versions.filter(commit=commit.id).exists():
                break
        new.append(commit)
    history = History(id, known, last)
    made: dict[str, BlueprintVersion] = {}
    for commit in reversed(new):
        columns = history.columns(commit)
        made[commit.id] = row.versions.create(commit=commit.id, **columns)
    if new and new[-1].number == 1:
        row.created_at = new[-1].at
    for name, value in standing_columns(row, standing, made).items():
        setattr(row, name, value)
    row.save()
    return row


def standing_columns(
    row: Blueprint, standing: Standing, made: Mapping[str, BlueprintVersion] = _NONE
) -> dict[str, Any]:
    """Return the columns of a Blueprint's row that say what the store says of it now.

    `made` are rows of commits that need not be looked for.
    """
    head, mark = standing.head, standing.archived
    found = dict(made)
    commits = {head.id, *(one.commit for one in standing.aliases.values())}
    if wanted := commits - found.keys():
        rows = row.versions.filter(commit__in=wanted).defer(*LARGE)
        found.update((one.commit, one) for one in rows)
    return {
        "head": found.get(head.id),
        "changed_at": head.at,
        "archived_at": mark and mark.at,
        "archived_by": mark.author.name if mark else "",
        "archived_why": mark.message if mark else "",
        "aliases": {
            name: {
                "commit": one.commit,
                "version": found[one.commit].version if one.commit in found else "",
                "by": one.moved.author.name,
                "email": one.moved.author.email,
                "at": one.moved.at.isoformat(),
                "message": one.moved.message,
            }
            for name, one in standing.aliases.items()
        },
    }


class History:
    """Makes columns of a Blueprint's commits, in their order; each content is read once.

    A node keeps its identity from one commit to the next.
    """

    def __init__(
        self,
        id: str,
        known: Mapping[str, tuple[Examined, Content]] | None = None,
        last: BlueprintVersion | None = None,
    ) -> None:
        """Start anywhere in the history; `known` is that of `catch_up`.

        `last` is the row of a commit that most likely comes before the first.
        """
        self._id = id
        self._known = known or {}
        self._last = last
        self._before: tuple[str, Previous] | None = None
        """The commit whose columns were made last, with its nodes."""

    def columns(
        self, commit: Commit, stored: Identities | None = None
    ) -> dict[str, Any]:
        """Return the columns of a commit's row, also if it can't be read.

        The `stored` identities of its nodes stay if the commit before can't be read.
        """
        columns: dict[str, Any] = {
            "number": commit.number,
            "version": commit.version,
            "label": commit.label or "",
            "restores": commit.restores or "",
            "author_name": commit.author.name,
            "author_email": commit.author.email,
            "message": commit.message,
            "at": commit.at,
            "fault": commit.fault,
        }
        examined, content = self._known.get(commit.version, (None, None))
        try:
            content = content or blueprint_store().read(self._id, commit.id)
        except StoreUnusable:
            raise
        except BlueprintStoreError as error:
            return {**columns, "fault": commit.fault or str(error)}
        document = content.document
        before = self._previous(commit)
        if before is None and commit.parent is not None and stored:
            nodes = Previous(document, stored)
        else:
            nodes = Previous(document, identify(document, before))
        self._before = commit.id, nodes
        return {
            **columns,
            "form": "" if content.source is None else content.source.form,
            "identities": nodes.identities,
            **(examine_kept(document) if examined is None else examined.columns()),
        }

    def _previous(self, commit: Commit) -> Previous | None:
        """Return the document before a commit with the identities of its nodes."""
        if self._before is not None and self._before[0] == commit.parent:
            return self._before[1]
        row = self._last
        if row is None or row.commit != commit.parent:
            rows = BlueprintVersion.objects.filter(blueprint=self._id)
            row = rows.filter(commit=commit.parent).only("identities", "fault").first()
        if row is None or row.fault:
            return None
        try:
            content = blueprint_store().read(self._id, commit.parent or "")
        except StoreUnusable:
            raise
        except BlueprintStoreError:
            return None
        return Previous(content.document, row.identities)
