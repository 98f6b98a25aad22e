"""Rows into the database by the thousand: one prepared statement, no model overhead.

`bulk_create` spends about ten times as long on a row as the database does, and the
archiver writes three rows a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import orjson
from django.db import connection
from django.db.models import CharField, DateTimeField, JSONField, Model, TextField

NUL = "\0"
Convert = Callable[[Any], Any]


def upsert(
    model: type[Model],
    rows: Iterable[Any],
    *,
    unique: Sequence[str],
    columns: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Insert rows; where `unique` is taken, set `update` (or leave the row).

    Names are database columns of `model` and attributes of each row; a JSON column may
    be given as bytes, which are its text. Works on SQLite 3.24 and PostgreSQL, whose
    syntax for this is the same.
    """
    values = _values(model, rows, columns)
    if not values:
        return
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
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)


def update_rows(
    model: type[Model], rows: Iterable[Any], columns: Sequence[str]
) -> None:
    """Set columns of existing rows, by their primary key; values as in `upsert`."""
    key = model._meta.pk.column if model._meta.pk else "id"
    names = [*columns, key]
    values = _values(model, rows, names)
    if not values:
        return
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = %s" for name in columns)
    sql = f"UPDATE {quote(model._meta.db_table)} SET {sets} WHERE {quote(key)} = %s"  # noqa: S608 - names are the model's own
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)


def _values(
    model: type[Model], rows: Iterable[Any], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the rows' values as the database takes them, column by column."""
    found = list(map(attrgetter(*columns), rows))
    if not found:
        return []
    turned = [
        found_column
        if (convert := _converter(model, name)) is None
        else [convert(value) for value in found_column]
        for name, found_column in zip(columns, zip(*found, strict=True), strict=True)
    ]
    return list(zip(*turned, strict=True))


def _converter(model: type[Model], column: str) -> Convert | None:
    """Return what makes a column's values the database's own; None: they are already."""
    field = model._meta.get_field(column)
    if isinstance(field, JSONField):
        return _json_text
    if isinstance(field, DateTimeField):
        adapted: dict[Any, Any] = {None: None}
        adapt = connection.ops.adapt_datetimefield_value

        def date(value: Any) -> Any:
            # One journal entry's time stands in many rows.
            if value not in adapted:
                adapted[value] = adapt(value)
            return adapted[value]

        return date
    if isinstance(field, CharField | TextField) and connection.vendor == "postgresql":
        return storable
    return None


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, bytes) else orjson.dumps(value)
    return storable(text.decode())


def storable(text: Any) -> Any:
    """Return a text as this database can hold it: PostgreSQL knows no NUL."""
    if not isinstance(text, str) or connection.vendor != "postgresql":
        return text
    return text.replace(NUL, "\ufffd").replace("\\u0000", "\\ufffd")
