"""Every text of every table contains escapes; no command and no page prints one."""

import json
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from blueprints.models import Attempt, Program, Run, RunEvent, Step, Task
from engine.ids import new_id
from engine.run.journal.entries import pack_entry
from engine.run.journal.outputs import (
    Artifact,
    Final,
    Log,
    Partial,
    Progress,
    to_wire,
)
from engine.visible import CONTROLS

# Each with a mark behind it, so that it can be distinguished from other escapes. NUL
# is left out: it can't be kept in a text column of every database.
EVIL = "".join(
    f"{chr(code)}EVIL"
    for code in range(1, 0x2070)
    if re.match(f"[{CONTROLS}]", chr(code))
)
ESCAPED = re.compile(f"[{CONTROLS}]EVIL")

pytestmark = pytest.mark.django_db


def filled(model: type[models.Model], **known: Any) -> Any:
    """Return a new row whose texts all contain escapes, except for known values."""
    made = dict(known)
    for field in model._meta.concrete_fields:
        if field.name in known or field.choices:
            continue
        if isinstance(field, models.CharField | models.TextField):
            room = field.max_length or len(EVIL)
            made[field.name] = EVIL[: room // 5 * 5]
        elif isinstance(field, models.JSONField):
            made[field.name] = {EVIL: [EVIL]}
    return model._default_manager.create(**made)


@pytest.fixture
def rows() -> list[models.Model]:
    """A row of each table."""
    now = timezone.now()
    emitted = (Progress(EVIL, EVIL), Log(EVIL), Partial(EVIL), Artifact(EVIL, EVIL))
    wires = [to_wire(one) for one in (*emitted, Final(EVIL, True, EVIL))]
    place = f"/{EVIL}"
    events = [["output", place, 1, 1, wires], ["failed", place, 1, EVIL, EVIL]]
    task = filled(Task, id=new_id("T"))
    error = {"kind": EVIL, "text": EVIL}
    program = filled(Program, id="0" * 64)
    run = filled(
        Run, id=new_id("R"), task=task, program=program, status="failed", error=error
    )
    step = filled(Step, run=run, generation=1, place=place, status="failed")
    attempt = filled(Attempt, step=step, number=1)
    entry = {
        "number": 1,
        "at": now,
        "data": pack_entry("0", 1, EVIL, events),
        "says": True,
    }
    event = filled(RunEvent, run=run, generation=1, **entry)
    return [task, run, step, attempt, event]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    call_command(*words)
    printed = capsys.readouterr()
    assert "EVIL" in printed.out
    assert not re.search(f"[{CONTROLS}]", printed.out + printed.err)
    return printed.out


def test_commands_show_escapes_as_text(
    capsys: pytest.CaptureFixture[str], rows: list[models.Model]
) -> None:
    run = str(rows[1].pk)
    printed = shown(capsys, "runs", "show", run)
    for sort in ("part", "final"):
        assert re.search(rf"^  {sort} .*\\x1bEVIL", printed, re.MULTILINE), sort
    assert r"\x01EVIL" in shown(capsys, "runs", "list")
    report = json.loads(shown(capsys, "runs", "show", run, "--json"))
    assert report["ctx"] == {EVIL: [EVIL]}
    assert report["log"][0]["text"] == EVIL
    shown(capsys, "runs", "list", "--json")


def test_pages_show_escapes_as_text(
    admin_client: Client, rows: list[models.Model]
) -> None:
    for row in rows:
        name = f"admin:blueprints_{row._meta.model_name}"
        pages = [
            (reverse(f"{name}_changelist"), {}),
            (reverse(f"{name}_changelist"), {"q": EVIL}),
            (reverse(f"{name}_change", args=[row.pk]), {}),
        ]
        for number, (url, query) in enumerate(pages):
            text = admin_client.get(url, query).content.decode()
            assert not ESCAPED.search(text), url
            # Journal entries are listed by their number and kind.
            assert "EVIL" in text or number == 0, url
