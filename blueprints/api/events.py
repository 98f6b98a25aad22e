"""The route of events: what was done to a Blueprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.lists import NumberPageQuery, page_of, page_shape
from blueprints.api.openapi import ONE, ApiView, route
from blueprints.api.shapes import EventSerializer
from blueprints.models.api_keys import Right
from blueprints.selectors.blueprints import event_list

Page: Final = page_shape(EventSerializer, "EventPage", serializers.IntegerField)


class Events(ApiView):
    """What was done to a Blueprint."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route("List the events", {200: Page}, query=NumberPageQuery, problems=ONE)
    def get(self, request: Request, id: str) -> Response:
        """Answer who did what and why, from which version to which; the newest first."""
        rows = event_list(id)
        found, cursor, total = page_of(rows, self.query, "pk", newest_first=True)
        return Response(Page({"items": found, "next": cursor, "total": total}).data)
