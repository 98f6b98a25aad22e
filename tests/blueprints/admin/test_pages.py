"""Tests of the admin pages of history."""

import re

import pytest
from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from blueprints.models import Attempt, Run, RunEvent, Step, Task
from blueprints.models.events import kinds_text
from blueprints.services.runs import run_create

pytestmark = pytest.mark.django_db
MODELS = [Task, Run, Step, Attempt, RunEvent]


@pytest.fixture
def rows(program):
    run = run_create(program=program, ctx={}, title="Hi")
    step = Step.objects.create(
        run=run, generation=1, place="/a", key="ST-1", agent="greet", kind="python_fn"
    )
    return {
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
        data={"e": packs},
    )
    url = reverse("admin:blueprints_runevent_changelist")
    for kind, times in (("passed", 1), ("pending", 1), ("pend", 0), ("joined", 0)):
        page = admin_client.get(url, {"kind": kind}).content.decode()
        assert page.count("7.1 passed /a") == times, kind
        assert page.count("7.2 pending /b") == times, kind


def test_the_admins_style_is_served_without_debug(client):
    assert not settings.DEBUG
    page = client.get("/admin/login/").content.decode()
    [sheet] = re.findall(r'href="(/static/admin/css/base[^"]*\.css)"', page)

    answer = client.get(sheet)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")
    assert b"--primary" in b"".join(answer)
