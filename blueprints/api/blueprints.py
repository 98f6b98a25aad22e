"""Routes of Blueprints: list, register, head, roll back, archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.bodies import DOCUMENTS, raw_body
from blueprints.api.documents import SENT, ScriptQuery, built_of
from blueprints.api.lists import PageQuery, page_of, page_shape
from blueprints.api.openapi import (
    COMPILED,
    ONE,
    READING,
    ApiView,
    StrictSerializer,
    route,
)
from blueprints.api.preconditions import (
    PRECONDITIONS,
    ReasonQuery,
    actor_of,
    expected_of,
    tagged,
)
from blueprints.api.problems import Problem
from blueprints.api.shapes import (
    BlueprintSerializer,
    DocumentField,
    NamedVersionSerializer,
    RegisteredSerializer,
)
from blueprints.loaders.posted import BuiltContent
from blueprints.loaders.references import escape
from blueprints.models.api_keys import Right
from blueprints.models.blueprint_versions import VERDICTS
from blueprints.selectors.blueprints import (
    blueprint_get,
    blueprint_list,
    version_content,
)
from blueprints.selectors.version_selector import VersionSelector
from blueprints.services.blueprints import (
    Registered,
    blueprint_archive,
    blueprint_register,
    blueprint_rollback,
    blueprint_unarchive,
)
from engine.blueprint_store import LONGEST_MESSAGE

CHANGES: Final = (*ONE, "blueprint-busy", "archived")
REGISTERS: Final = (
    *CHANGES, "invalid-document", "reference-in-document", "invalid-source", "head-moved",
    "id-taken", "blueprint-invalid",
)  # fmt: skip
Page: Final = page_shape(BlueprintSerializer, "BlueprintPage", serializers.CharField)


class ListQuery(PageQuery):
    """Which Blueprints, and which page of them."""

    archived = serializers.ChoiceField(
        choices=["false", "true", "any"],
        default="false",
        help_text="Whether archived ones are listed.",
    )
    label = serializers.CharField(
        required=False, max_length=200, help_text="The label of the head."
    )
    tag = serializers.CharField(
        required=False, max_length=200, help_text="A tag of the head."
    )
    lint = serializers.ChoiceField(
        required=False, choices=VERDICTS, help_text="The verdict of the head's lints."
    )
    q = serializers.CharField(
        required=False,
        max_length=200,
        help_text="Words in id, description, tags or message of the head.",
    )


class Blueprints(ApiView):
    """All Blueprints."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("List Blueprints", {200: Page}, query=ListQuery)
    def get(self, request: Request) -> Response:
        """Answer the Blueprints that all filters fit, by id."""
        query = self.query
        rows = blueprint_list(
            archived={"false": False, "true": True, "any": None}[query["archived"]],
            label=query.get("label"),
            tag=query.get("tag"),
            lint=query.get("lint"),
            text=query.get("q"),
        )
        items, cursor, total = page_of(rows, query, "id", newest_first=False)
        return Response(Page({"items": items, "next": cursor, "total": total}).data)


class RegisterQuery(ReasonQuery, ScriptQuery):
    """How a document is registered."""

    label = serializers.CharField(
        required=False, max_length=200, help_text="A semantic version for the commit."
    )
    force = serializers.BooleanField(
        default=False, help_text="Store it in spite of errors."
    )


class OneBlueprint(ApiView):
    """One Blueprint."""

    rights: Mapping[str, Right] = {
        "GET": Right.VIEW,
        "POST": Right.EDIT,
        "DELETE": Right.ARCHIVE,
    }
    parser_classes = DOCUMENTS

    @route("Get a Blueprint", {200: BlueprintSerializer}, problems=ONE)
    def get(self, request: Request, id: str) -> Response:
        """Answer the Blueprint with head and aliases; archived ones, too."""
        return Response(BlueprintSerializer(blueprint_get(id)).data)

    @route(
        "Register a version",
        {201: RegisteredSerializer, 200: RegisteredSerializer},
        request=SENT,
        query=RegisterQuery,
        parameters=PRECONDITIONS,
        problems=REGISTERS,
    )
    def post(self, request: Request, id: str) -> Response:
        """Make a document the head: 201 if that is a new commit, 200 if it was the head.

        The body is the document, or its source in YAML or in the Lua DSL, which is kept
        with what it builds to.
        """
        query = self.query
        expected = expected_of(request, id)
        built, source = built_of(raw_body(request.data), query)
        done = blueprint_register(
            id,
            BuiltContent(built.document, source),
            actor=actor_of(request),
            message=query.get("message", "Registered"),
            label=query.get("label"),
            expected=expected,
            force=query["force"],
        )
        return change_of(done)

    @route(
        "Archive a Blueprint",
        {204: None},
        query=ReasonQuery,
        problems=["csrf-failed", "blueprint-busy", *ONE],
    )
    def delete(self, request: Request, id: str) -> Response:
        """Archive it: its history stays and can be read; it can't be changed or run."""
        reason = self.query.get("message", "Archived")
        blueprint_archive(id, actor=actor_of(request), message=reason)
        return Response(status=204)


def change_of(done: Registered) -> Response:
    """Return the response to a change of the head."""
    row = done.version
    body = {
        **NamedVersionSerializer(row).data,
        "seeded": done.is_new,
        "findings": row.findings,
    }
    return Response(body, 201 if done.is_new else 200, headers=tagged(row.commit))


class Unarchive(ApiView):
    """The way back out of the archive."""

    rights: Mapping[str, Right] = {"POST": Right.ARCHIVE}

    @route(
        "Unarchive a Blueprint",
        {204: None},
        query=ReasonQuery,
        problems=["csrf-failed", "blueprint-busy", *ONE],
    )
    def post(self, request: Request, id: str) -> Response:
        """Take it out of the archive."""
        reason = self.query.get("message", "Unarchived")
        blueprint_unarchive(id, actor=actor_of(request), message=reason)
        return Response(status=204)


class HeadSerializer(NamedVersionSerializer):
    """The head of a Blueprint with its document."""

    blueprint = DocumentField()


class Head(ApiView):
    """The head of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Get the head",
        {200: HeadSerializer},
        problems=[*READING, "archived"],
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer the document that a launch would use; its ETag is for If-Match."""
        row = blueprint_get(id)
        if row.is_archived:
            text = f"Blueprint {id!r} is archived: {row.archived_why}"
            raise Problem("archived", text)
        head = VersionSelector().of(row)
        body = {
            **NamedVersionSerializer(head).data,
            "blueprint": escape(version_content(head).document),
        }
        return Response(body, headers=tagged(head.commit))


class RollbackSerializer(StrictSerializer):
    """To which version a Blueprint goes back."""

    to = serializers.CharField(
        max_length=200,
        help_text="A hash, its beginning, a label's requirement, an alias.",
    )
    message = serializers.CharField(
        required=False, max_length=LONGEST_MESSAGE, trim_whitespace=False
    )
    force = serializers.BooleanField(default=False)


class Rollback(ApiView):
    """The way back to an older version."""

    rights: Mapping[str, Right] = {"POST": Right.EDIT}

    @route(
        "Roll back",
        {201: RegisteredSerializer, 200: RegisteredSerializer},
        request=RollbackSerializer,
        parameters=PRECONDITIONS,
        problems=[*COMPILED, *CHANGES, "head-moved", "invalid-document"],
    )
    def post(self, request: Request, id: str) -> Response:
        """Make an older version the head again, as a new commit."""
        checked = RollbackSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        given = checked.validated_data
        to = VersionSelector.parse(given["to"]).resolve(id)
        done = blueprint_rollback(
            id,
            to,
            actor=actor_of(request),
            message=given.get("message", f"Back to version {to.number}"),
            expected=expected_of(request, id),
            force=given["force"],
        )
        return change_of(done)
