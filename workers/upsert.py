"""Rows into the database by the thousand: one prepared statement, no model overhead.

`bulk_create` spends about ten times as long on a row as the database does, and the
archiver writes three rows a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import JSONField, Model

NUL = "\0"


def upsert(
    model: type[Model],
    rows: Iterable[Model],
    *,
    unique: Sequence[str],
    columns: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Insert model instances; where `unique` is taken, set `update` (or leave the row).

    Names are database columns, which are attribute names too. Works on SQLite 3.24 and
    PostgreSQL, whose syntax for this is the same.
    """
    values = _values(rows, columns)
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
    model: type[Model], rows: Iterable[Model], columns: Sequence[str]
) -> None:
    """Set columns of existing rows from model instances, by their primary key."""
    key = model._meta.pk.column if model._meta.pk else "id"
    names = [*columns, key]
    values = _values(rows, names)
    if not values:
        return
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = %s" for name in columns)
    sql = f"UPDATE {quote(model._meta.db_table)} SET {sets} WHERE {quote(key)} = %s"  # noqa: S608 - names are the model's own
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)


def _values(rows: Iterable[Model], columns: Sequence[str]) -> list[list[Any]]:
    found: list[list[Any]] = []
    holds_json: list[bool] | None = None
    for row in rows:
        if holds_json is None:
            fields = map(row._meta.get_field, columns)
            holds_json = [isinstance(field, JSONField) for field in fields]
        found.append(
            [
                _stored(getattr(row, name), is_json)
                for name, is_json in zip(columns, holds_json, strict=True)
            ]
        )
    return found


def _stored(value: Any, is_json: bool) -> Any:
    if value is None:
        return None
    if is_json:
        return storable(orjson.dumps(value).decode())
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return storable(value) if isinstance(value, str) else value


def storable(text: str) -> str:
    """Return a text as this database can hold it: PostgreSQL knows no NUL."""
    if connection.vendor != "postgresql":
        return text
    return text.replace(NUL, "\ufffd").replace("\\u0000", "\\ufffd")
