"""JSON columns whose rows can be read whatever is in them."""

from typing import Any

from django.db import models

from engine.flow.json_text import MAX_DEPTH, text_depth

# Twice what may be written: beyond it Python can't show or send what it may still read.
READABLE = 2 * MAX_DEPTH


class Unreadable:
    """Stands where a column's value can't be read; `str()` says why. It can't be saved."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


def readable(value: Any) -> Any:
    """Returns a column's value; ValueError says why where it can't be read."""
    if isinstance(value, Unreadable):
        raise ValueError(str(value))
    return value


class ReadableJSONField(models.JSONField):
    """A JSONField that gives Unreadable for what is nested too deeply to be read.

    One such row would otherwise break every query that meets it.
    """

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Names Django's own field, since the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Returns the value, or why it can't be read."""
        if isinstance(value, str) and text_depth(value.encode()) > READABLE:
            return Unreadable(f"nested deeper than {READABLE} containers")
        return super().from_db_value(value, expression, connection)
