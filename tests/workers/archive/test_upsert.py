"""Rows written by prepared statements, on whichever database the tests run on."""

from typing import Any

import orjson
import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blueprints.models import Run, RunEvent
from blueprints.models.events import events_of
from blueprints.services.runs import Launch, run_create
from engine.blueprint import Program
from workers.archive.upsert import update_rows, upsert

pytestmark = pytest.mark.django_db

COLUMNS = [
    *("run_id", "generation", "number", "at", "kind", "kinds", "addr", "data", "hash"),
    "says",
]
UNIQUE = COLUMNS[:3]
FLOW = {"kind": "seq", "children": []}


@pytest.fixture
def run() -> Run:
    return run_create(Launch(program=Program("b", FLOW, {}), ctx={}))


def event(run: Run, number: int, kind: str = "moved") -> tuple[Any, ...]:
    data = orjson.dumps({"e": [["checkpoint", f"{kind}\0"]]})
    return run.pk, 1, number, timezone.now(), kind, "", "0", data, b"", False


def test_rows_that_are_there_already_are_left_as_they_are(run: Run):
    upsert(RunEvent, COLUMNS, [event(run, 1), event(run, 2)], unique=UNIQUE)
    again = [event(run, 2, "later"), event(run, 3)]
    upsert(RunEvent, COLUMNS, again, unique=UNIQUE)

    found = RunEvent.objects.order_by("number").values_list("number", "kind")
    assert list(found) == [(1, "moved"), (2, "moved"), (3, "moved")]


def test_rows_that_are_there_already_take_what_is_to_be_updated(run: Run):
    upsert(RunEvent, COLUMNS, [event(run, 1)], unique=UNIQUE)
    changed = [event(run, 1, "later")]
    upsert(RunEvent, COLUMNS, changed, unique=UNIQUE, update=["kind"])

    [found] = RunEvent.objects.all()
    assert found.kind == "later"
    assert events_of(found.data)[0][1] == "moved\0"


def test_a_nul_is_kept_in_bytes_and_kept_or_replaced_in_texts(run: Run):
    upsert(RunEvent, COLUMNS, [event(run, 1)], unique=UNIQUE)
    error = {"kind": "Failed", "text": "x\0y"}
    update_rows(Run, ["status", "error"], [("failed", error, run.pk)])

    assert events_of(RunEvent.objects.get().data)[0][1] == "moved\0"
    nul = "\ufffd" if connection.vendor == "postgresql" else "\0"
    found = Run.objects.get()
    assert (found.status, found.error["text"]) == ("failed", f"x{nul}y")


@pytest.mark.parametrize(
    "text", ["\\u0000", "\\\\u0000", "\0", "\\\0", "\\\\\0\0", 'a"\\\u1234\t\x7f']
)
def test_nothing_but_a_nul_is_replaced(run: Run, text: str):
    error = {"kind": "Failed", "text": text, text: [text]}
    update_rows(Run, ["reason", "error"], [(text, orjson.dumps(error), run.pk)])

    kept = text.replace("\0", "\ufffd") if connection.vendor == "postgresql" else text
    found = Run.objects.get()
    assert found.reason == kept
    assert found.error == {"kind": "Failed", "text": kept, kept: [kept]}


def test_a_json_null_is_no_sql_null(run: Run):
    update_rows(Run, ["result", "error"], [(b"null", None, run.pk)])

    with connection.cursor() as cursor:
        cursor.execute("SELECT result, error FROM blueprints_run")
        assert cursor.fetchall() == [("null", None)]


def test_every_type_is_kept_as_it_is(run: Run):
    at = timezone.now()
    row = (run.pk, 1, 2**53 + 1, at, "é\n", "", "0", bytes(range(256)), b"", True)
    upsert(RunEvent, COLUMNS, [row], unique=UNIQUE)

    [found] = RunEvent.objects.values_list(*COLUMNS)
    assert [bytes(v) if isinstance(v, memoryview) else v for v in found] == list(row)


def test_a_text_that_is_too_long_is_refused_or_kept_but_never_cut(run: Run):
    long = "x" * 33
    try:
        with transaction.atomic():
            upsert(RunEvent, COLUMNS, [event(run, 1, long)], unique=UNIQUE)
    except DataError:
        assert connection.vendor == "postgresql"
        assert not RunEvent.objects.exists()
    else:
        assert RunEvent.objects.get().kind == long


def test_no_rows_are_no_statement(run: Run):
    with CaptureQueriesContext(connection) as queries:
        upsert(RunEvent, COLUMNS, [], unique=UNIQUE)
        update_rows(Run, ["status"], [])
    assert len(queries) == 0
