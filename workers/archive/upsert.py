"""Writes thousands of rows: one prepared statement, no model overhead.

`bulk_create` spends about ten times as long on a row as the database does, and the
archiver writes three rows a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import orjson
from django.db import connection
from django.db.models import CharField, DateTimeField, JSONField, Model, TextField

NUL = "\0"
Convert = Callable[[Any], Any]
Row = tuple[Any, ...]


def upsert(
    model: type[Model],
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    unique: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Insert rows; if a row with the same `unique` exists, set its columns `update`.

    A row has a value for each of the columns; a JSON value may be bytes, its text.
    Works on SQLite 3.24 and PostgreSQL, whose syntax for this is the same.
    """
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    slots = ", ".join(["%s"] * len(columns))
    change = "NOTHING"
    if update:
        sets = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in update)
        change = f"UPDATE SET {sets}"
    sql = (
        f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({slots})"  # noqa: S608 - names are the model's own
        f" ON CONFLICT ({', '.join(map(quote, unique))}) DO {change}"
    )
    _execute(sql, model, columns, rows)


def update_rows(
    model: type[Model], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Set columns of existing rows; each row ends with its primary key."""
    key = str(model._meta.pk.column) if model._meta.pk else "id"
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = %s" for name in columns)
    sql = f"UPDATE {quote(model._meta.db_table)} SET {sets} WHERE {quote(key)} = %s"  # noqa: S608 - names are the model's own
    _execute(sql, model, [*columns, key], rows)


def _execute(
    sql: str, model: type[Model], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Execute a statement for each row, whose values are converted for the database."""
    found = list(zip(*rows, strict=True))
    turned = [
        values if (convert := _converter(model, name)) is None else map(convert, values)
        for name, values in zip(columns, found, strict=bool(found))
    ]
    if values := list(zip(*turned, strict=True)):
        with connection.cursor() as cursor:
            cursor.executemany(sql, values)


def _converter(model: type[Model], column: str) -> Convert | None:
    """Return what converts a column's values for the database; None if nothing does."""
    field = model._meta.get_field(column)
    if isinstance(field, JSONField):
        return _json_text
    if isinstance(field, DateTimeField):
        # Many rows have the time of the same journal entry.
        return cache(connection.ops.adapt_datetimefield_value)
    if isinstance(field, CharField | TextField) and connection.vendor == "postgresql":
        return storable
    return None


def _json_text(value: Any) -> Any:
    if value is None:
        return None
    text = value if isinstance(value, bytes) else orjson.dumps(value)
    return storable(text.decode())


def storable(text: Any) -> Any:
    """Return a text that this database can store: PostgreSQL refuses a NUL."""
    if not isinstance(text, str) or connection.vendor != "postgresql":
        return text
    return text.replace(NUL, "\ufffd").replace("\\u0000", "\\ufffd")
