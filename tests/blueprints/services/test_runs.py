"""Tests of blueprints/services/runs.py."""

import dataclasses
from datetime import timedelta

import pytest

from blueprints.models import Run, Task
from blueprints.services.runs import Launch, run_create
from engine.blueprint import Program
from engine.ids import check_id

pytestmark = pytest.mark.django_db


def test_a_new_run_is_pending_and_complete(program):
    made = run_create(
        Launch(program=program, ctx={"name": "Ada"}, title="Hi"), epoch="e1"
    )

    run = Run.objects.get(pk=check_id("R", made.id))
    assert (run.status, run.generation, run.archived_number) == ("pending", 1, 0)
    assert run.ctx == {"name": "Ada", "loud": False}
    assert (run.result, run.error, run.started_at) == (None, None, None)
    assert run.epoch == "e1"
    assert Program.from_json(run.program.document) == program
    assert run.program_id == program.program_id
    assert check_id("T", run.task.id)
    assert (run.task.blueprint_id, run.task.title) == ("hello", "Hi")
    assert run.task.init_ctx == {"name": "Ada"}


@pytest.mark.parametrize(
    ("launch", "blueprint", "seconds"), [(None, None, 77), (None, 60, 60), (5, 60, 5)]
)
def test_the_deadline_is_the_launchers_then_the_blueprints_then_the_default(
    program, settings, launch, blueprint, seconds
):
    settings.SWARM_RUN_DEADLINE = 77
    program = dataclasses.replace(program, run_deadline_s=blueprint)

    run = run_create(Launch(program=program, ctx=None, deadline_s=launch))

    assert run.deadline_at - run.created_at == timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_deadline_that_is_not_positive_writes_nothing(program, seconds):
    with pytest.raises(ValueError, match="must be more than 0 s"):
        run_create(Launch(program=program, ctx={}, deadline_s=seconds))

    assert not Task.objects.exists()


def test_a_ctx_that_is_no_json_is_refused_with_its_place(program):
    with pytest.raises(ValueError, match=r"ctx at \$\.a\[0\]: not a JSON value"):
        run_create(Launch(program=program, ctx={"a": [object()]}))


def test_task_and_run_are_written_together_or_not_at_all(program, monkeypatch):
    def fail(**_):
        raise RuntimeError

    monkeypatch.setattr(Run.objects, "create", fail)
    with pytest.raises(RuntimeError):
        run_create(Launch(program=program, ctx={}))

    assert not Task.objects.exists()
