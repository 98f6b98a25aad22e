"""Writes thousands of rows: one prepared statement, no model overhead.

`bulk_create` spends about ten times as long on a row as the database does, and the
archiver writes three rows a step. SQLite gets the statement for each row; PostgreSQL gets
it once, with an array for each column, since it parses and plans each call.
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
    With `update`, each row has another `unique`. Works on SQLite 3.24 and PostgreSQL.
    """
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    source = f"VALUES ({', '.join(['%s'] * len(columns))})"
    if connection.vendor == "postgresql":
        source = f"SELECT * FROM {_arrays(model, columns)}"  # noqa: S608 - types only
    change = "NOTHING"
    if update:
        sets = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in update)
        change = f"UPDATE SET {sets}"
    sql = (
        f"INSERT INTO {quote(model._meta.db_table)} ({names}) {source}"
        f" ON CONFLICT ({', '.join(map(quote, unique))}) DO {change}"
    )
    _execute(sql, model, columns, rows)


def update_rows(
    model: type[Model], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Set columns of existing rows; each row ends with its primary key."""
    key = str(model._meta.pk.column) if model._meta.pk else "id"
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    if connection.vendor == "postgresql":
        sets = ", ".join(f"{quote(name)} = given.{quote(name)}" for name in columns)
        names = ", ".join(map(quote, [*columns, key]))
        sql = (
            f"UPDATE {table} SET {sets}"  # noqa: S608 - names are the model's own
            f" FROM {_arrays(model, [*columns, key])} AS given ({names})"
            f" WHERE {table}.{quote(key)} = given.{quote(key)}"
        )
    else:
        sets = ", ".join(f"{quote(name)} = %s" for name in columns)
        sql = f"UPDATE {table} SET {sets} WHERE {quote(key)} = %s"  # noqa: S608 - names are the model's own
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
    if not found:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(sql, [list(values) for values in turned])
        else:
            cursor.executemany(sql, list(zip(*turned, strict=True)))


def _arrays(model: type[Model], columns: Sequence[str]) -> str:
    """Return the SQL of rows that PostgreSQL makes of an array for each column."""
    kinds = (str(model._meta.get_field(name).db_type(connection)) for name in columns)
    # Without the length of a `varchar(9)`: a cast to that cuts what is too long.
    slots = (f"%s::{kind.partition('(')[0]}[]" for kind in kinds)
    return f"unnest({', '.join(slots)})"


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
