"""Tests of what the tables themselves refuse, and of how they are opened."""

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from blueprints.models import Attempt, RunEvent, Step
from blueprints.services.runs import Launch, run_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(program):
    return run_create(Launch(program=program, ctx={}))


@pytest.fixture
def step(run):
    return Step.objects.create(
        run=run, generation=1, place="/a", key="ST-1", agent="greet", kind="python_fn"
    )


def refuses_a_twin(row):
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_a_step_exists_once_per_run_generation_and_place(step):
    refuses_a_twin(step)

    step.generation = 2
    step.save(force_insert=True)


def test_an_attempt_exists_once_per_step_and_number(step):
    refuses_a_twin(Attempt.objects.create(step=step, number=1, status="passed"))


def test_an_event_exists_once_per_run_generation_and_number(run):
    event = RunEvent.objects.create(
        run=run, generation=1, number=1, at=timezone.now(), kind="started"
    )

    refuses_a_twin(event)


def test_every_row_has_a_name_for_people(run, step):
    attempt = Attempt.objects.create(step=step, number=1, status="passed")
    event = RunEvent(run=run, number=3, kind="started")

    assert str(run) == f"{run.id} (pending)"
    assert str(run.task) == f"hello ({run.task.id})"
    assert str(step) == "/a greet (pending)"
    assert str(attempt) == "attempt 1 (passed)"
    assert str(event) == "3 started"


def test_sqlite_begins_write_transactions_at_once():
    # tests/isolated_settings.py sees to it that no other database is configured.
    assert connection.vendor == "sqlite"
    assert connection.transaction_mode == "IMMEDIATE"


def test_no_column_has_an_index_that_another_one_begins_with():
    twice = []
    for model in apps.get_app_config("blueprints").get_models():
        several = [*model._meta.constraints, *model._meta.indexes]
        first = {
            one.fields[0]
            for one in several
            if getattr(one, "fields", ()) and not one.condition
        }
        twice += [
            f"{model.__name__}.{field.name}"
            for field in model._meta.local_fields
            if field.db_index and not field.unique and field.name in first
        ]
    assert twice == []
