"""Who makes a change, why, and which head it expects."""

from __future__ import annotations

import re
from typing import Final

from rest_framework import serializers
from rest_framework.request import Request

from blueprints.api.openapi import StrictSerializer
from blueprints.api.problems import Problem
from blueprints.selectors.blueprints import blueprint_get
from blueprints.services.blueprints import Actor
from engine.blueprint_store import LONGEST_MESSAGE, Expectation, Expected

_TAG: Final = re.compile(r'(?:W/)?"?([0-9a-f]{40})"?')
_RULE: Final = "expected the commit of a head, as its ETag has it, or *"


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
    if request.headers.get("If-None-Match", "").strip() == "*":
        return Expected.NOTHING
    text = request.headers.get("If-Match")
    if text is None:
        return Expected.ANY
    if text.strip() == "*":
        blueprint_get(id)
        return Expected.ANY
    found = _TAG.fullmatch(text.strip())
    if found is None:
        details = {"fields": {"If-Match": [_RULE]}}
        raise Problem("invalid-request", f"If-Match: {_RULE}.", details=details)
    return found[1]


def tagged(commit: str) -> dict[str, str]:
    """Return the header that names a head."""
    return {"ETag": f'"{commit}"'}
