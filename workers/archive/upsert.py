"""Writes thousands of rows: one prepared statement, no model overhead.

SQLite gets the statement for each row; PostgreSQL once, with all rows as one JSON text: it
parses and plans each call, and psycopg escapes arrays in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from django.db import connection
from django.db.models import (
    BinaryField,
    CharField,
    DateTimeField,
    JSONField,
    Model,
    TextField,
)

NUL: Final = "\0"
REPLACED: Final = "\ufffd"
"""What PostgreSQL gets for a NUL, which it can't store in texts."""
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
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
        source = f"SELECT {_casts(model, columns)} FROM {_given(model, columns)}"  # noqa: S608 - names are the model's own
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
        names = ", ".join(map(quote, columns))
        sql = (
            f"UPDATE {table} SET ({names}) = ROW({_casts(model, columns)})"  # noqa: S608 - names are the model's own
            f" FROM {_given(model, [*columns, key])}"
            f" WHERE {table}.{quote(key)} = given.{quote(key)}"
        )
    else:
        sets = ", ".join(f"{quote(name)} = %s" for name in columns)
        sql = f"UPDATE {table} SET {sets} WHERE {quote(key)} = %s"  # noqa: S608 - names are the model's own
    _execute(sql, model, [*columns, key], rows)


def found_keys(
    model: type[Model], columns: Sequence[str], keys: Iterable[Row]
) -> list[Any]:
    """Return the primary keys of the rows whose columns have the values of a key.

    An index over the columns is used to its end, which a condition with a list for each
    column does not do; and Django builds no condition for each key.
    """
    objects = [dict(zip(columns, key, strict=True)) for key in keys]
    if not objects:
        return []
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    if connection.vendor == "postgresql":
        given = _given(model, columns)
    else:
        parts = (
            f"json_extract(value, '$.{name}') AS {quote(name)}" for name in columns
        )
        given = f"(SELECT {', '.join(parts)} FROM json_each(%s)) AS given"  # noqa: S608 - names are the model's own
    same = " AND ".join(f"{table}.{quote(n)} = given.{quote(n)}" for n in columns)
    key = quote(str(model._meta.pk.column)) if model._meta.pk else "id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {table}.{key} FROM {given} CROSS JOIN {table} WHERE {same}",  # noqa: S608
            [orjson.dumps(objects).decode()],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _execute(
    sql: str, model: type[Model], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Execute a statement for each row, whose values are converted for the database."""
    found = list(zip(*rows, strict=True))
    if not found:
        return
    turned = [
        values if (convert := _converter(model, name)) is None else map(convert, values)
        for name, values in zip(columns, found, strict=True)
    ]
    given = zip(*turned, strict=True)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            objects = [dict(zip(columns, row, strict=True)) for row in given]
            cursor.execute(sql, [orjson.dumps(objects).decode()])
        else:
            cursor.executemany(sql, list(given))


def _given(model: type[Model], columns: Sequence[str]) -> str:
    """Return the SQL of the rows `given`, which PostgreSQL makes of a JSON text."""
    quote = connection.ops.quote_name
    typed = (f"{quote(name)} {_type(model, name)}" for name in columns)
    return f"json_to_recordset(%s::json) AS given ({', '.join(typed)})"


def _type(model: type[Model], column: str) -> str:
    """Return the type of a column of `given`.

    The text of a JSON value is a text: a JSON null would become the NULL of SQL. So is a
    `varchar(9)`: a cast to that cuts what is too long.
    """
    field = model._meta.get_field(column)
    if isinstance(field, JSONField | CharField | TextField):
        return "text"
    return str(field.db_type(connection)).partition("(")[0]


def _casts(model: type[Model], columns: Sequence[str]) -> str:
    """Return the SQL of the columns of `given` with the types of the table."""
    quote = connection.ops.quote_name
    return ", ".join(
        f"given.{quote(name)}"
        + "::jsonb" * isinstance(model._meta.get_field(name), JSONField)
        for name in columns
    )


def _converter(model: type[Model], column: str) -> Convert | None:
    """Return what converts a column's values for the database; None if nothing does."""
    field = model._meta.get_field(column)
    if connection.vendor != "postgresql":
        if isinstance(field, JSONField):
            return _json_text
        return _stored_time if isinstance(field, DateTimeField) else None
    if isinstance(field, JSONField):
        return _json_without_nul
    if isinstance(field, BinaryField):
        return _hex
    return _without_nul if isinstance(field, CharField | TextField) else None


@lru_cache(maxsize=4096)
def _stored_time(value: datetime | None) -> Any:
    """Return a time as SQLite stores it.

    Several columns of several rows have the time of the same journal entry.
    """
    return connection.ops.adapt_datetimefield_value(value)


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    return (value if isinstance(value, bytes) else orjson.dumps(value)).decode()


def _json_without_nul(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, bytes) else orjson.dumps(value)
    if b"\\u0000" in text:
        text = _ESCAPED_NUL.sub(rb"\1\\ufffd", text)
    return text.decode()


def _without_nul(text: Any) -> Any:
    return text.replace(NUL, REPLACED) if isinstance(text, str) else text


def _hex(data: bytes) -> str:
    return f"\\x{data.hex()}"
