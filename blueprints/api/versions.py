"""Routes of versions: history, one version, the difference of two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from blueprints.api.lists import NumberPageQuery, page_of, page_shape
from blueprints.api.openapi import StrictSerializer, query_of, route
from blueprints.api.shapes import (
    DocumentField,
    FindingsField,
    NullableText,
    SourceSerializer,
    VersionSerializer,
)
from blueprints.loaders.references import escape
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import version_content, version_list
from blueprints.selectors.version_selector import VersionSelector
from engine.blueprint.comparison import compare

READING: Final = (
    "blueprint-unknown", "version-unknown", "version-unreadable", "store-unusable",
)  # fmt: skip
Page: Final = page_shape(VersionSerializer, "VersionPage", serializers.IntegerField)


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


class History(APIView):
    """The history of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Get the history",
        {200: HistorySerializer},
        query=NumberPageQuery,
        problems=["blueprint-unknown"],
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer the commits, the newest first; those that can't be read have a fault."""
        query = query_of(request, NumberPageQuery)
        found, cursor, total = page_of(
            version_list(id), query, "number", newest_first=True
        )
        body = {"count": len(found), "entries": found, "next": cursor, "total": total}
        return Response(HistorySerializer(body).data)


class Versions(APIView):
    """The versions of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "List the versions",
        {200: Page},
        query=NumberPageQuery,
        problems=["blueprint-unknown"],
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer what `history` answers, as a list like all others."""
        query = query_of(request, NumberPageQuery)
        found, cursor, total = page_of(
            version_list(id), query, "number", newest_first=True
        )
        return Response(Page({"items": found, "next": cursor, "total": total}).data)


class WholeVersionSerializer(VersionSerializer):
    """A version with its document."""

    findings = FindingsField()
    blueprint = DocumentField()
    source = SourceSerializer(allow_null=True)


class OneVersion(APIView):
    """One version of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("Get a version", {200: WholeVersionSerializer}, problems=READING)
    def get(self, request: Request, id: str, version: str) -> Response:
        """Answer a version by its hash, its beginning, an alias or a requirement."""
        row = VersionSelector.parse(version).resolve(id)
        content = version_content(row)
        source = content.source
        shown = {
            **VersionSerializer(row).data,
            "findings": row.findings if isinstance(row.findings, list) else [],
            "blueprint": escape(content.document),
            "source": source
            and {
                "form": source.form,
                "text": source.text,
                "parameters": dict(source.parameters),
            },
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


class Diff(APIView):
    """The difference of two versions."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Compare two versions", {200: DiffSerializer}, query=DiffQuery, problems=READING
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer what was added, removed, changed, moved and renamed, and a text diff."""
        query = query_of(request, DiffQuery)
        old, new = (
            VersionSelector.parse(query[side]).resolve(id) for side in ("old", "new")
        )
        comparison = compare(
            version_content(old).document,
            version_content(new).document,
            old_identities=old.known_identities,
            new_identities=new.known_identities,
        )
        body = {"id": id, "old": old, "new": new, **comparison.to_json()}
        return Response(DiffSerializer(body).data)
