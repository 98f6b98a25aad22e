"""Who makes a change, why, and which head it expects."""

from __future__ import annotations

import re
from typing import Final

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from blueprints.api.openapi import StrictSerializer
from blueprints.api.problems import Problem
from blueprints.selectors.blueprints import blueprint_get
from blueprints.services.blueprints import Actor
from engine.blueprint_store import LONGEST_MESSAGE, Expectation, Expected

PRECONDITIONS: Final = (
    OpenApiParameter(
        "If-Match",
        str,
        OpenApiParameter.HEADER,
        description="The commit that must be the head, as the ETag of a head has it; `*`"
        " for any head. Without it the change follows whatever head there is.",
    ),
    OpenApiParameter(
        "If-None-Match",
        str,
        OpenApiParameter.HEADER,
        enum=["*"],
        description="`*`: there must be no head yet.",
    ),
)
_TAG: Final = re.compile(r'(?:W/)?"?([0-9a-f]{40})"?')


class ReasonQuery(StrictSerializer):
    """Why a change is made."""

    message = serializers.CharField(
        required=False,
        max_length=LONGEST_MESSAGE,
        help_text="Why; kept in the history.",
    )


def actor_of(request: Request) -> Actor:
    """Return who makes the change."""
    sender = request.user
    return Actor(sender.name, sender.email, sender.user_id, sender.key or "")


def expected_of(request: Request, id: str) -> Expectation:
    """Return the head that a request expects; raises Problem and BlueprintUnknown.

    `If-None-Match: *` expects none, `If-Match: *` any.
    """
    match, none = (request.headers.get(name) for name in ("If-Match", "If-None-Match"))
    if none is not None:
        if match is not None:
            raise _refused("If-None-Match", "expected either this or If-Match")
        if none.strip() != "*":
            raise _refused(
                "If-None-Match", "expected *, which says that there is no head"
            )
        return Expected.NOTHING
    if match is None:
        return Expected.ANY
    if match.strip() == "*":
        blueprint_get(id)
        return Expected.ANY
    found = _TAG.fullmatch(match.strip())
    if found is None:
        rule = "expected the commit of a head, as its ETag has it, or *"
        raise _refused("If-Match", rule)
    return found[1]


def _refused(header: str, rule: str) -> Problem:
    details = {"fields": {header: [rule]}}
    return Problem("invalid-request", f"{header}: {rule}.", details=details)


def tagged(commit: str) -> dict[str, str]:
    """Return the header that names a head."""
    return {"ETag": f'"{commit}"'}
