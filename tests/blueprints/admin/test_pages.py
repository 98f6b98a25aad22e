"""Tests of the admin pages of history."""

import re

import pytest
from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from kept_blueprints import register

from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.origin import origin_of
from blueprints.models import (
    Attempt,
    Blueprint,
    BlueprintEvent,
    BlueprintVersion,
    DeletedRun,
    Program,
    Run,
    RunEvent,
    Step,
    Task,
)
from blueprints.models.events import kinds_text
from blueprints.preflight import compile_here
from blueprints.services.runs import Launch, run_create
from engine.run.journal.entries import pack_entry

pytestmark = pytest.mark.django_db
MODELS = [
    *(Task, Run, Step, Attempt, RunEvent, Program),
    *(Blueprint, BlueprintVersion, BlueprintEvent, DeletedRun),
]


@pytest.fixture
def rows(program, kept_in_git):
    version = register()
    run = run_create(Launch(program=program, ctx={}, title="Hi"))
    step = Step.objects.create(
        run=run, generation=1, place="/a", key="ST-1", agent="greet", kind="python_fn"
    )
    return {
        Program: run.program,
        BlueprintVersion: version,
        Blueprint: version.blueprint,
        BlueprintEvent: BlueprintEvent.objects.get(),
        DeletedRun: DeletedRun.objects.create(
            pk="R-1", generation=1, created_at=run.created_at, deleted_at=run.created_at
        ),
        Task: run.task,
        Run: run,
        Step: step,
        Attempt: Attempt.objects.create(step=step, number=1, status="passed"),
        RunEvent: RunEvent.objects.create(
            run=run, generation=1, number=1, at=timezone.now(), kind="started"
        ),
    }


@pytest.mark.parametrize("model", MODELS)
def test_history_can_be_searched_and_read_but_not_written(admin_client, rows, model):
    name = f"admin:blueprints_{model._meta.model_name}"
    detail = reverse(f"{name}_change", args=[rows[model].pk])

    assert admin_client.get(reverse(f"{name}_changelist")).status_code == 200
    assert (
        admin_client.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200
    )
    assert admin_client.get(detail).status_code == 200
    assert admin_client.post(detail, {}).status_code == 403
    assert admin_client.get(reverse(f"{name}_add")).status_code == 403
    delete = reverse(f"{name}_delete", args=[rows[model].pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403


def test_every_table_has_a_page():
    assert all(admin.site.is_registered(model) for model in MODELS)


def test_an_entry_is_found_by_every_event_it_packs(admin_client, rows):
    run = rows[Run]
    packs = [["passed", "/a", 1, "greet", 7], ["pending", "/b", "greet"]]
    RunEvent.objects.create(
        run=run,
        generation=1,
        number=7,
        at=timezone.now(),
        kind="passed",
        kinds=kinds_text(event[0] for event in packs),
        data=pack_entry("0", 1, "w", packs),
    )
    url = reverse("admin:blueprints_runevent_changelist")
    for kind, times in (("passed", 1), ("pending", 1), ("pend", 0), ("joined", 0)):
        page = admin_client.get(url, {"kind": kind}).content.decode()
        assert page.count("7.1 passed: Attempt 1 of /a passed: 7") == times, kind
        assert page.count("7.2 pending: /b waits for greet.") == times, kind


def test_a_run_that_can_not_be_replayed_says_why(admin_client, rows):
    Run.objects.update(unreplayable="entry 7: not JSON")
    url = reverse("admin:blueprints_run_change", args=[rows[Run].pk])
    assert "entry 7: not JSON" in admin_client.get(url).content.decode()
    listed = reverse("admin:blueprints_run_changelist")
    for empty, found in (("0", True), ("1", False)):
        page = admin_client.get(listed, {"unreplayable__isempty": empty})
        assert (rows[Run].pk in page.content.decode()) == found


def test_the_admins_style_is_served_without_debug(client):
    assert not settings.DEBUG
    page = client.get("/admin/login/").content.decode()
    [sheet] = re.findall(r'href="(/static/admin/css/base[^"]*\.css)"', page)

    answer = client.get(sheet)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")
    assert b"--primary" in b"".join(answer)


def test_a_run_leads_to_its_steps_attempts_and_events(admin_client, rows):
    run = rows[Run]
    page = admin_client.get(
        reverse("admin:blueprints_run_change", args=[run.pk])
    ).content.decode()
    for name in ("step", "attempt", "runevent"):
        link = f"{reverse(f'admin:blueprints_{name}_changelist')}?q={run.pk}"
        assert f'href="{link}"' in page
        assert "1 result" in admin_client.get(link).content.decode()


@pytest.fixture
def failed(tmp_path):
    """A run whose lane 3 has failed at a named step of a file."""
    file = tmp_path / "flow.yaml"
    file.write_text(FLOW)
    loaded = load_blueprint(file)
    launch = Launch(compile_here(loaded.document), {}, origin=origin_of(loaded))
    run = run_create(launch)
    place = "/lane[3]"
    error = {"kind": "TypeError", "text": "no <b>", "place": place, "ctx": "$.row = 7"}
    Run.objects.filter(pk=run.pk).update(status="failed", error=error)
    step = Step.objects.create(
        run=run, generation=1, place=place, key="ST-1", agent="same", kind="python_fn"
    )
    Attempt.objects.create(step=step, number=1, status="failed")
    return run, file


FLOW = """schema_version: 0.1.0
id: named
dialect: swarm
agents: [{name: same, kind: python_fn, spec: {fn_id: identity}}]
flow:
  kind: fanout
  items: $.rows
  bind: $.row
  join: all
  select: $.row
  out: $.rows
  body: {kind: step, name: grade, agent: same, in: $.row, out: $.row}
"""


@pytest.mark.parametrize("name", ["step", "attempt"])
def test_steps_have_their_names_and_visits(admin_client, failed, name):
    page = admin_client.get(reverse(f"admin:blueprints_{name}_changelist"))
    assert "grade[lane 3]" in page.content.decode()


def test_a_failed_run_shows_step_line_and_values_of_its_error(admin_client, failed):
    run, file = failed
    url = reverse("admin:blueprints_run_change", args=[run.pk])
    page = admin_client.get(url).content.decode()
    assert "TypeError: no &lt;b&gt;\nat grade[lane 3]  (/lane[3])\n" in page
    assert f"{file}:12:9\n    12 |   body: {{kind: step, name: grade" in page
    assert "\n$.row = 7</pre>" in page
    file.write_text(FLOW + "\n")
    page = admin_client.get(url).content.decode()
    assert f"in {file}; the file has changed since the run was launched" in page
    assert "12 |" not in page


def test_the_root_leads_to_the_admin(client):
    assert client.get("/").headers["Location"] == "/admin/"
