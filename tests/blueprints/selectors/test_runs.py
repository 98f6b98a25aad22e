"""Tests of blueprints/selectors/runs.py."""

import pytest

from blueprints.models import Attempt, Run, Step
from blueprints.selectors.runs import (
    run_get,
    run_list,
    run_report,
    run_step_counts,
    run_steps,
)
from blueprints.services.runs import Launch, run_create
from engine.ids import new_id

pytestmark = pytest.mark.django_db


def test_a_run_comes_with_its_task_in_one_query(program, django_assert_num_queries):
    run = run_create(Launch(program=program, ctx={}, title="Hi"))

    with django_assert_num_queries(1):
        assert run_get(run.id).task.title == "Hi"


def test_an_unknown_run_is_not_a_malformed_one():
    with pytest.raises(Run.DoesNotExist):
        run_get(new_id("R"))
    with pytest.raises(ValueError, match="is a task id"):
        run_get(new_id("T"))


def test_runs_are_listed_newest_first(program):
    old, new = (run_create(Launch(program=program, ctx={})) for _ in range(2))
    assert [run.pk for run in run_list()] == [new.pk, old.pk]


def test_the_steps_of_a_run_are_those_of_its_latest_generation(program):
    run = run_create(Launch(program=program, ctx={}))
    Run.objects.filter(pk=run.pk).update(generation=2)
    for generation, place in [(1, "/a"), (2, "/b"), (2, "/a")]:
        Step.objects.create(
            run=run,
            generation=generation,
            place=place,
            key=new_id("ST"),
            agent="greet",
            kind="python_fn",
        )

    assert [step.place for step in run_steps(run)] == ["/a"]
    run.refresh_from_db()
    assert [step.place for step in run_steps(run)] == ["/b", "/a"]


def a_step(run, generation=1, place="/a"):
    return Step.objects.create(
        run=run, generation=generation, place=place, agent="g", kind="k"
    )


def test_the_steps_of_many_runs_are_counted_in_one_query(
    program, django_assert_num_queries
):
    runs = [run_create(Launch(program=program, ctx={})) for _ in range(5)]
    for number, run in enumerate(runs):
        for place in range(number):
            a_step(run, place=f"/{place}")
    a_step(runs[0], generation=7)

    with django_assert_num_queries(2):
        listed = list(run_list())
        counts = run_step_counts(listed)
    assert [counts[run.pk] for run in runs] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("steps", [1, 20])
def test_a_report_takes_as_many_queries_for_many_steps(
    program, django_assert_num_queries, steps
):
    run = run_get(run_create(Launch(program=program, ctx={})).pk)
    for place in range(steps):
        a_step(run, place=f"/{place}")
    with django_assert_num_queries(4):
        assert len(run_report(run)["steps"]) == steps


def test_usage_of_all_attempts_is_summed(program):
    run = run_create(Launch(program=program, ctx={}))
    step = a_step(run)
    reported = [{"usage": {"input": 5, "output": 1}}, {"usage": {"input": 2}}, None, {}]
    for number, stats in enumerate(reported, 1):
        Attempt.objects.create(step=step, number=number, status="x", stats=stats)
    assert run_report(run)["usage"] == {"input": 7, "output": 1}
