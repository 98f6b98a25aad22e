"""Routes of bundles: one version as a zip file, out and in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from blueprints.api.agents import VersionQuery, selected
from blueprints.api.blueprints import CHANGES, change_of
from blueprints.api.bodies import ZipParser, raw_body
from blueprints.api.openapi import IF_MATCH, query_of, route
from blueprints.api.preconditions import ReasonQuery, actor_of, expected_of
from blueprints.api.shapes import RegisteredSerializer
from blueprints.api.versions import READING
from blueprints.loaders.bundle import Bundle, bundle_bytes, read_bundle
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import version_content
from blueprints.services.blueprints import blueprint_register
from engine.blueprint_store import InputRefused


class ZipRenderer(BaseRenderer):
    """Answers the bytes of a zip file."""

    media_type = "application/zip"
    format = "zip"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: bytes,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the bytes."""
        return data


class Export(APIView):
    """The way out."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}
    renderer_classes = [ZipRenderer]

    @route(
        "Export a version",
        {(200, "application/zip"): OpenApiTypes.BINARY},
        query=VersionQuery,
        problems=READING,
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer a version as a bundle; the same version gives the same bytes."""
        row = selected(request, id)
        bundle = Bundle(id, version_content(row), row.label or None, row.message)
        name = f'attachment; filename="{id}-{row.number}.zip"'
        return Response(bundle_bytes(bundle), headers={"Content-Disposition": name})


class ImportQuery(ReasonQuery):
    """How a bundle is imported."""

    force = serializers.BooleanField(
        default=False, help_text="Store it in spite of errors."
    )


class Import(APIView):
    """The way in."""

    rights: Mapping[str, Right] = {"POST": Right.EDIT}
    parser_classes = [ZipParser]

    @route(
        "Import a bundle",
        {201: RegisteredSerializer, 200: RegisteredSerializer},
        request={"application/zip": OpenApiTypes.BINARY},
        query=ImportQuery,
        parameters=[IF_MATCH],
        problems=[
            *("invalid-bundle", "invalid-document", "reference-in-document"),
            *("invalid-source", "blueprint-unknown", "head-moved", "id-taken"),
            *("blueprint-invalid", *CHANGES),
        ],
    )
    def post(self, request: Request, id: str) -> Response:
        """Register what a bundle holds: 201 if that is a new commit."""
        query = query_of(request, ImportQuery)
        bundle = read_bundle(raw_body(request.data).content)
        if bundle.id != id:
            rule = f"the bundle is of Blueprint {bundle.id!r}, not of {id!r}"
            raise InputRefused("id", rule)
        done = blueprint_register(
            id,
            bundle.content,
            actor=actor_of(request),
            message=query.get("message", bundle.message),
            label=bundle.label,
            expected=expected_of(request, id),
            force=query["force"],
            verb="imported",
        )
        return change_of(done)
