"""Routes for documents that are not kept: lint one, build one from its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.bodies import DOCUMENTS, JSON, RawBody, raw_body
from blueprints.api.openapi import ApiView, StrictSerializer, route
from blueprints.api.problems import Problem
from blueprints.api.shapes import DocumentField, FindingsField
from blueprints.loaders.posted import Built, build_source, posted_document
from blueprints.loaders.references import escape
from blueprints.models.api_keys import Right
from blueprints.preflight import compile_here, known_kinds, legacy_bindings
from engine.blueprint import LintOptions, lint_blueprint
from engine.blueprint_store import Source, version_of
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json

SENT: Final = {
    "application/json": {"type": "object"},
    "application/yaml": {"type": "string"},
    "text/x-lua": {"type": "string"},
}
PROBLEMS: Final = ("reference-in-document", "invalid-source")


class ScriptQuery(StrictSerializer):
    """What a script of the Lua DSL is built with."""

    params = serializers.CharField(
        required=False,
        max_length=8192,
        help_text="The parameters of a script, a JSON object.",
    )


def built_of(body: RawBody, query: Mapping[str, Json]) -> tuple[Built, Source | None]:
    """Return what a body builds to, and its source; raises DocumentInvalid and Problem."""
    if body.form == JSON:
        return Built(posted_document(body.content)), None
    source = _source_of(body, query)
    return build_source(source), source


def _source_of(body: RawBody, query: Mapping[str, Json]) -> Source:
    """Return a body as a source; raises Problem."""
    try:
        text = body.content.decode()
        params = load_json(query.get("params") or "{}")
    except UnicodeDecodeError:
        raise Problem("invalid-source", "The source is not UTF-8.") from None
    except JsonTextError as error:
        raise _bad_params(f"is no JSON: {error}") from None
    if not isinstance(params, dict):
        raise _bad_params("is no JSON object")
    return Source(body.form, text, params)


def _bad_params(rule: str) -> Problem:
    details = {"fields": {"params": [rule]}}
    return Problem("invalid-request", f"params {rule}.", details=details)


class LintedSerializer(serializers.Serializer[Any]):
    """What compiler and lints find."""

    verdict = serializers.CharField(help_text="OK, WARN or BLOCK.")
    diagnostics = FindingsField()
    suppressed = FindingsField()


class Lint(ApiView):
    """The lints."""

    rights: Mapping[str, Right] = {"POST": Right.VIEW}
    parser_classes = DOCUMENTS

    @route(
        "Lint a document",
        {200: LintedSerializer},
        request=SENT,
        query=ScriptQuery,
        problems=PROBLEMS,
    )
    def post(self, request: Request) -> Response:
        """Answer all findings about a document or its source; nothing is kept."""
        built, _ = built_of(raw_body(request.data), self.query)
        report = lint_blueprint(
            built.document,
            kinds=known_kinds(),
            legacy_bindings=legacy_bindings(),
            options=LintOptions(dsl_warnings=built.warnings),
        )
        return Response(
            {
                "verdict": report.verdict,
                "diagnostics": [one.to_json() for one in report.diagnostics],
                "suppressed": [one.to_json() for one in report.suppressed],
            }
        )


class BuiltSerializer(serializers.Serializer[Any]):
    """What a source builds to."""

    document = DocumentField()
    version = serializers.CharField(help_text="The version that it would have.")
    program_id = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    log = serializers.ListField(child=serializers.CharField())


class Build(ApiView):
    """The builder."""

    rights: Mapping[str, Right] = {"POST": Right.VIEW}
    parser_classes = DOCUMENTS

    @route(
        "Build a document",
        {200: BuiltSerializer},
        request=SENT,
        query=ScriptQuery,
        problems=[*PROBLEMS, "blueprint-invalid"],
    )
    def post(self, request: Request) -> Response:
        """Answer the document that a source builds to; nothing is kept."""
        built, _ = built_of(raw_body(request.data), self.query)
        program = compile_here(built.document, anywhere=True)
        return Response(
            {
                "document": escape(built.document),
                "version": version_of(built.document),
                "program_id": program.program_id,
                "warnings": list(built.warnings),
                "log": list(built.log),
            }
        )
