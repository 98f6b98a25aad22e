"""Routes of versions: history, one version, blame, the difference of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.lists import NumberPageQuery, page_of, page_shape
from blueprints.api.openapi import ONE, READING, ApiView, StrictSerializer, route
from blueprints.api.shapes import (
    DocumentField,
    FindingsField,
    NamedVersionSerializer,
    NullableText,
    SourceSerializer,
    VersionSerializer,
)
from blueprints.loaders.references import escape
from blueprints.models import BlueprintVersion
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import (
    blueprint_get,
    version_blame,
    version_content,
    version_list,
)
from blueprints.selectors.version_selector import VersionSelector
from engine.blueprint.comparison import compare
from engine.flow.json_text import Json

Page: Final = page_shape(VersionSerializer, "VersionPage", serializers.IntegerField)
MOST_READ: Final = 1000


def version_page(id: str, query: dict[str, Json]) -> tuple[list[Any], Json, int]:
    """Return a page of the history, the newest first."""
    return page_of(version_list(id), query, "number", newest_first=True)


class VersionQuery(StrictSerializer):
    """Which version is meant."""

    version = serializers.CharField(
        default="latest", max_length=200, help_text="As in the path of a version."
    )


class VersionView(ApiView):
    """A view of the version that its query names."""

    def version_of(self, id: str) -> BlueprintVersion:
        """Return the version that the query names."""
        return VersionSelector.parse(self.query["version"]).resolve(id)


class EntrySerializer(VersionSerializer):
    """A commit, also with the older names of three fields."""

    hash = serializers.CharField(source="version")
    version_label = NullableText(source="label")
    rationale = serializers.CharField(source="message")


class HistorySerializer(serializers.Serializer[Any]):
    """A page of the history."""

    count = serializers.IntegerField(help_text="Of the entries in this answer.")
    entries = EntrySerializer(many=True)
    next = serializers.IntegerField(allow_null=True)
    total = serializers.IntegerField(help_text="Of the whole history.")


class History(ApiView):
    """The history of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Get the history",
        {200: HistorySerializer},
        query=NumberPageQuery,
        problems=ONE,
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer the commits, the newest first; those that can't be read have a fault."""
        found, cursor, total = version_page(id, self.query)
        body = {"count": len(found), "entries": found, "next": cursor, "total": total}
        return Response(HistorySerializer(body).data)


class Versions(ApiView):
    """The versions of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "List the versions",
        {200: Page},
        query=NumberPageQuery,
        problems=ONE,
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer what `history` answers, as a list like all others."""
        found, cursor, total = version_page(id, self.query)
        return Response(Page({"items": found, "next": cursor, "total": total}).data)


class WholeVersionSerializer(VersionSerializer):
    """A version with its document."""

    findings = FindingsField()
    blueprint = DocumentField()
    source = SourceSerializer(allow_null=True)


class OneVersion(ApiView):
    """One version of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("Get a version", {200: WholeVersionSerializer}, problems=READING)
    def get(self, request: Request, id: str, version: str) -> Response:
        """Answer a version by its hash, its beginning, an alias or a requirement."""
        row = VersionSelector.parse(version).resolve(id)
        content = version_content(row)
        shown = {
            **VersionSerializer(row).data,
            "findings": row.findings,
            "blueprint": escape(content.document),
            "source": content.source and asdict(content.source),
        }
        return Response(shown)


class DiffQuery(StrictSerializer):
    """Which two versions are compared."""

    old = serializers.CharField(
        max_length=200, help_text="As in the path of a version."
    )
    new = serializers.CharField(default="latest", max_length=200)


class DiffSerializer(serializers.Serializer[Any]):
    """What changed from one version to another."""

    id = serializers.CharField()
    old = VersionSerializer()
    new = VersionSerializer()
    changes = serializers.ListField(child=serializers.DictField())
    text = serializers.CharField(help_text="A unified diff of the documents.")


class Diff(ApiView):
    """The difference of two versions."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Compare two versions", {200: DiffSerializer}, query=DiffQuery, problems=READING
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer what was added, removed, changed, moved and renamed, and a text diff."""
        selectors = [VersionSelector.parse(self.query[side]) for side in ("old", "new")]
        row = blueprint_get(id)
        old, new = (selector.of(row) for selector in selectors)
        comparison = compare(
            version_content(old).document,
            version_content(new).document,
            old_identities=old.known_identities,
            new_identities=new.known_identities,
        )
        body = {"id": id, "old": old, "new": new, **comparison.to_json()}
        return Response(DiffSerializer(body).data)


class BlameQuery(VersionQuery):
    """Which version is explained, and how far back."""

    limit = serializers.IntegerField(
        default=200,
        min_value=1,
        max_value=MOST_READ,
        help_text="How many versions are read at most, from this one back.",
    )


class BlameSerializer(serializers.Serializer[Any]):
    """The commit that last changed each node and each agent.

    It is null for what has not changed in the versions that were read.
    """

    blueprint = NamedVersionSerializer()
    nodes = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="By place."
    )
    agents = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="By name."
    )
    versions = serializers.DictField(
        child=VersionSerializer(), help_text="The versions that are named, by commit."
    )


class Blame(VersionView):
    """Who last changed what."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Blame a version", {200: BlameSerializer}, query=BlameQuery, problems=READING
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer which version last changed each node and each agent of a version."""
        row = self.version_of(id)
        found = version_blame(row, most=self.query["limit"])
        body = {
            "blueprint": row,
            "nodes": found.nodes,
            "agents": found.agents,
            "versions": found.versions,
        }
        return Response(BlameSerializer(body).data)
