"""Routes of bundles: one version as a zip file, out and in."""

from __future__ import annotations

from collections.abc import Mapping

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import StaticHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.blueprints import REGISTERS, change_of
from blueprints.api.bodies import ZipParser, raw_body
from blueprints.api.openapi import READING, ApiView, route
from blueprints.api.preconditions import (
    PRECONDITIONS,
    ReasonQuery,
    actor_of,
    expected_of,
)
from blueprints.api.shapes import RegisteredSerializer
from blueprints.api.versions import VersionQuery, VersionView
from blueprints.loaders.bundle import Bundle, bundle_bytes, read_bundle
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import version_content
from blueprints.services.blueprints import blueprint_register
from engine.blueprint_store import InputRefused


class ZipRenderer(StaticHTMLRenderer):
    """Answers the bytes of a zip file."""

    media_type = "application/zip"
    format = "zip"
    charset = None
    render_style = "binary"


class Export(VersionView):
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
        row = self.version_of(id)
        bundle = Bundle(id, version_content(row), row.label or None, row.message)
        name = f'attachment; filename="{id}-{row.number}.zip"'
        return Response(bundle_bytes(bundle), headers={"Content-Disposition": name})


class ImportQuery(ReasonQuery):
    """How a bundle is imported."""

    force = serializers.BooleanField(
        default=False, help_text="Store it in spite of errors."
    )


class Import(ApiView):
    """The way in."""

    rights: Mapping[str, Right] = {"POST": Right.EDIT}
    parser_classes = [ZipParser]

    @route(
        "Import a bundle",
        {201: RegisteredSerializer, 200: RegisteredSerializer},
        request={"application/zip": OpenApiTypes.BINARY},
        query=ImportQuery,
        parameters=PRECONDITIONS,
        problems=[*REGISTERS, "invalid-bundle"],
    )
    def post(self, request: Request, id: str) -> Response:
        """Register what a bundle holds: 201 if that is a new commit."""
        bundle = read_bundle(raw_body(request.data).content)
        if bundle.id != id:
            rule = f"the bundle is of Blueprint {bundle.id!r}, not of {id!r}"
            raise InputRefused("id", rule)
        done = blueprint_register(
            id,
            bundle.content,
            actor=actor_of(request),
            message=self.query.get("message", bundle.message),
            label=bundle.label,
            expected=expected_of(request, id),
            force=self.query["force"],
            verb="imported",
        )
        return change_of(done)
