"""Tests of blueprints/selectors/steps.py."""

import pytest

from blueprints.models import Step
from blueprints.selectors.steps import run_names, step_list
from blueprints.services.runs import Launch, run_create

pytestmark = pytest.mark.django_db


def test_lanes_are_in_order_after_failed_and_repeated_ones(program):
    run = run_create(Launch(program=program, ctx={}))
    tries = {6: ("passed", 3), 7: ("failed", 1)}
    for lane in (4, 10, 11, 7, 6, 0, 1, 2):
        status, attempts = tries.get(lane, ("passed", 1))
        Step.objects.create(
            run=run,
            generation=run.generation,
            place=f"/lane[{lane}]",
            key=f"ST-{lane}",
            agent="greet",
            kind="python_fn",
            status=status,
            attempts=attempts,
        )

    found = step_list(run, "greet", run_names(run))
    assert [one.key[3:] for one in found] == ["7", "6", "0", "1", "2", "4", "10", "11"]
