"""A JSON column that never breaks the query that reads it."""

from typing import Any

from django.db import models

from engine.flow.json_text import MAX_DEPTH, text_depth

# Twice the limit for writing: Python can't serialise deeper values again.
READABLE = 2 * MAX_DEPTH


class Unreadable:
    """The value of a column that can't be read; `str()` gives the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


def readable(value: Any) -> Any:
    """Return a column's value; raise ValueError with the reason if it is Unreadable."""
    if isinstance(value, Unreadable):
        raise ValueError(str(value))
    return value


class ReadableJSONField(models.JSONField):
    """A JSONField whose value is Unreadable if it is nested too deeply.

    Otherwise one such row would break every query that returns it.
    """

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Return Django's own field for migrations, since the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value or Unreadable."""
        if isinstance(value, str) and text_depth(value.encode()) > READABLE:
            return Unreadable(f"nested deeper than {READABLE} containers")
        return super().from_db_value(value, expression, connection)
