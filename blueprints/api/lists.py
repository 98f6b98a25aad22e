"""Pages of a list: `{items, next, total}`, with a cursor that stays valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet
from rest_framework import serializers

from blueprints.api.openapi import StrictSerializer
from engine.flow.json_text import Json

MOST: Final = 200
LARGEST: Final = 2**31 - 1


class PageQuery(StrictSerializer):
    """Which page of a list."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MOST)
    cursor = serializers.CharField(
        required=False, max_length=128, help_text="`next` of the page before."
    )


class NumberPageQuery(StrictSerializer):
    """Which page of a list that is in the order of numbers."""

    limit = serializers.IntegerField(default=20, min_value=1, max_value=MOST)
    cursor = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        help_text="`next` of the page before.",
    )


def page_shape(
    item: Any, name: str, cursor: type[serializers.Field[Any, Any, Any, Any]]
) -> Any:
    """Return the serializer class of a page of items."""
    fields = {
        "items": item(many=True),
        "next": cursor(allow_null=True, help_text="The cursor of the next page."),
        "total": serializers.IntegerField(help_text="Of the whole list."),
    }
    return type(name, (serializers.Serializer,), fields)


def page_of(
    rows: QuerySet[Any], query: Mapping[str, Json], key: str, *, newest_first: bool
) -> tuple[list[Any], Json, int]:
    """Return the rows of a page, the next cursor and the number of all rows.

    Rows are in the order of `key`, which is unique, and begin behind the cursor.
    """
    total, limit = rows.count(), query["limit"]
    rows = rows.order_by(f"-{key}" if newest_first else key)
    if "cursor" in query:
        rows = rows.filter(
            **{f"{key}__{'lt' if newest_first else 'gt'}": query["cursor"]}
        )
    found = list(rows[: limit + 1])
    more = len(found) > limit
    return found[:limit], getattr(found[limit - 1], key) if more else None, total
