"""A run whose row can't be read is shown as unreadable, and hides no other."""

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from flow_documents import seq
from rig import Rig, step

from blueprints.models import Program, Run
from blueprints.models.readable_json import READABLE, Unreadable
from workers.archive.archiver import Archiver
from workers.steward.database_duties import Bookkeeper

pytestmark = pytest.mark.django_db

REASON = f"unreadable: nested deeper than {READABLE} containers"


def spoil(run: Run, column: str) -> None:
    """Write what the database takes and Python can't read into a column."""
    deep = '{"x":' * 990 + "1" + "}" * 990
    table = "run"
    if column == "program":
        # One of its own: other runs may have the same.
        own = Program.objects.create(id=run.pk, document={})
        Run.objects.filter(pk=run.pk).update(program=own)
        table, column = "program", "document"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE blueprints_{table} SET {column} = %s WHERE id = %s",
            [deep, run.pk],
        )


@pytest.fixture
def runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Run]:
    """A run that can't be read and one that can, both done."""
    monkeypatch.setattr("workers.management.commands.runs.database_ready", lambda: None)
    bad, good = rig.launch(seq(step())), rig.launch(seq(step()))
    rig.work_off()
    Archiver(rig.store).turn()
    spoil(bad, "result")
    return bad, good


def test_all_runs_are_listed(runs: tuple[Run, Run], capsys: Any) -> None:
    call_command("runs", "list", "--json")
    printed = json.loads(capsys.readouterr().out)["items"]
    assert {row["run"]: row["steps"] for row in printed} == {run.pk: 1 for run in runs}


def test_it_is_shown_with_the_reason(runs: tuple[Run, Run], capsys: Any) -> None:
    bad, good = runs
    call_command("runs", "show", bad.pk)
    assert REASON in capsys.readouterr().out
    call_command("runs", "show", bad.pk, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["ctx"], printed["error"]["kind"]) == (None, "ResultUnreadable")
    assert REASON in printed["error"]["text"]
    call_command("runs", "show", good.pk, "--json")
    assert json.loads(capsys.readouterr().out)["ctx"] == {"n": 1}


def test_it_can_be_cancelled_and_forgotten(
    runs: tuple[Run, Run], rig: Rig, capsys: Any
) -> None:
    bad, _ = runs
    with pytest.raises(SystemExit):
        call_command("runs", "cancel", bad.pk)
    assert "is done; nothing was cancelled" in capsys.readouterr().out
    going = rig.launch(seq(step()))
    for column in ("ctx", "program", "result"):
        spoil(going, column)
    with pytest.raises(SystemExit) as ended:
        call_command("runs", "cancel", going.pk)
    assert ended.value.code == 0
    assert f"run {going.pk} is cancelled" in capsys.readouterr().out


def test_the_admin_shows_it(runs: tuple[Run, Run], admin_client: Any) -> None:
    bad, _ = runs
    pages = [reverse("admin:blueprints_run_changelist")]
    pages.append(reverse("admin:blueprints_run_change", args=[bad.pk]))
    pages.append(reverse("admin:blueprints_task_change", args=[bad.task_id]))
    for page in pages:
        assert admin_client.get(page).status_code == 200
    assert REASON in admin_client.get(pages[1]).content.decode()


def test_what_stands_for_it_can_not_be_saved(runs: tuple[Run, Run]) -> None:
    bad = Run.objects.get(pk=runs[0].pk)
    assert isinstance(bad.result, Unreadable)
    with pytest.raises(TypeError):
        bad.save()


def test_the_steward_fails_it_and_starts_the_others(rig: Rig) -> None:
    bad, good = rig.launch(seq(step())), rig.launch(seq(step()))
    rig.store.wire.call("DEL", *(f"swarm:s:r:{run.pk}:1" for run in (bad, good)))
    Run.objects.update(status="pending", created_at="2020-01-01T00:00:00Z")
    spoil(bad, "program")
    Bookkeeper(rig.store, lambda: True).start_launched()
    bad, good = (Run.objects.get(pk=run.pk) for run in (bad, good))
    assert (bad.status, bad.error["kind"]) == ("failed", "NotStarted")
    assert REASON in bad.error["text"]
    assert good.status == "running"
