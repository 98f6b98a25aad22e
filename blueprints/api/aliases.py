"""Routes of aliases: names for versions, such as `prod`, that can be moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.openapi import ONE, VERSIONED, ApiView, StrictSerializer, route
from blueprints.api.preconditions import ReasonQuery, actor_of
from blueprints.api.shapes import AliasSerializer
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import blueprint_get
from blueprints.selectors.version_selector import VersionSelector, VersionUnknown
from blueprints.services.blueprints import alias_remove, alias_set
from engine.blueprint_store import LONGEST_MESSAGE, Expectation, Expected

MOVES: Final = (*VERSIONED, "alias-moved", "archived", "blueprint-busy")


class AliasesSerializer(serializers.Serializer[Any]):
    """The aliases of a Blueprint by name."""

    aliases = serializers.DictField(child=AliasSerializer())


class Aliases(ApiView):
    """The aliases of a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("List the aliases", {200: AliasesSerializer}, problems=ONE)
    def get(self, request: Request, id: str) -> Response:
        """Answer all aliases."""
        return Response(AliasesSerializer(blueprint_get(id)).data)


class MoveSerializer(StrictSerializer):
    """Where an alias moves."""

    version = serializers.CharField(max_length=200, help_text="As in a version's path.")
    message = serializers.CharField(required=False, max_length=LONGEST_MESSAGE)
    expected = serializers.RegexField(
        "^[0-9a-f]{40}$",
        required=False,
        allow_null=True,
        help_text="The commit that it names until now; null for an alias that is new.",
    )


class OneAlias(ApiView):
    """One alias."""

    rights: Mapping[str, Right] = {"PUT": Right.PUBLISH, "DELETE": Right.PUBLISH}

    @route(
        "Set an alias", {200: AliasSerializer}, request=MoveSerializer, problems=MOVES
    )
    def put(self, request: Request, id: str, alias: str) -> Response:
        """Make an alias name a version; it is made if there is none."""
        checked = MoveSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        given = checked.validated_data
        expected: Expectation = Expected.ANY
        if "expected" in given:
            expected = given["expected"] or Expected.NOTHING
        row = alias_set(
            id,
            alias,
            VersionSelector.parse(given["version"]).resolve(id),
            actor=actor_of(request),
            message=given.get("message", f"{alias} is {given['version']}"),
            expected=expected,
        )
        return Response(AliasSerializer(row.aliases[alias]).data)

    @route(
        "Remove an alias",
        {204: None},
        query=ReasonQuery,
        problems=["csrf-failed", *MOVES],
    )
    def delete(self, request: Request, id: str, alias: str) -> Response:
        """Remove an alias; the version that it names stays."""
        reason = self.query.get("message", f"{alias} is no longer used")
        if not alias_remove(id, alias, actor=actor_of(request), message=reason):
            raise VersionUnknown(f"Blueprint {id!r} has no alias {alias!r}")
        return Response(status=204)
