"""The reference's acceptance list for launches and re-kicks: U2 to U8, U10 and U11.

A launch is always detached here: it returns a run that any worker carries on, and `run`
follows it. A re-kick is a rerun of the whole run, or a fork at its first step. A refusal
is exit code 2, where the reference has an HTTP status.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from flow_documents import at, seq
from flow_documents import step as step_to
from kept_blueprints import ADA, register
from rig import QUEUE, Rig

from blueprints.models import Run, RunGeneration, Task
from blueprints.parameters import apply_sets, read_sets
from blueprints.services.blueprints import blueprint_archive
from blueprints.services.runs import Launch
from engine.blueprint.program import Agent, Program
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from workers.archive.archiver import Archiver
from workers.runs import launch as launching
from workers.runs.again import Place, fork, rerun
from workers.runs.control import cancel_run
from workers.runs.launch import LaunchRefused, fail_unstarted_run, launch
from workers.steward.database_duties import Bookkeeper

pytestmark = pytest.mark.django_db(transaction=True)

ECHO = Agent("echo", "python_fn", QUEUE, 60_000)
FLOW = seq(step_to("echo", at("$.n"), "$.a"), step_to("echo", at("$.m"), "$.b"))
CTX = {"n": 1, "m": 2}


class Failing:
    """Fails at the input 2, and echoes every other."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        if call.input == 2:
            return Outcome("failed", text="no two")
        return Outcome("passed", call.input)


def program(flow: Any = FLOW, **more: Any) -> Program:
    return Program("b", flow, {"echo": ECHO}, **more)


def worked_off(rig: Rig, run: Run) -> Run:
    """Let a run go on to its end, and archive it."""
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    return run


@pytest.fixture(autouse=True)
def kept(settings: Any, tmp_path: Path) -> None:
    """An empty store of Blueprints."""
    settings.SWARM_BLUEPRINTS = str(tmp_path / "kept.git")


def refused(*args: str) -> str:
    """Return why a command is refused."""
    with pytest.raises((CommandError, SystemExit)) as error:
        call_command(*args)
    found = error.value
    assert (found.returncode if isinstance(found, CommandError) else found.code) == 2
    return str(found)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_u2_a_deadline_of_0_is_refused_and_starts_nothing(
    rig: Rig, seconds: float
) -> None:
    """A departure: the deadline is the run's own, so that it needs nobody who waits."""
    with pytest.raises(LaunchRefused, match="deadline must be more than 0 s"):
        launch(rig.store, Launch(program(), CTX, deadline_s=seconds))
    assert Run.objects.count() == Task.objects.count() == 0
    assert rig.store.journal("0", 10) == []


def test_u2_the_command_refuses_a_timeout_of_0() -> None:
    with pytest.raises(CommandError, match="expected seconds greater than 0"):
        call_command("run", "flow.json", "--timeout", "0")
    assert Run.objects.count() == 0


def test_u2_a_rerun_has_as_much_time_as_the_launch_has_given(rig: Rig) -> None:
    """A departure: a re-kick takes no deadline of its own."""
    run = launch(rig.store, Launch(program(), CTX, deadline_s=77))
    row = rerun(rig.store, worked_off(rig, run), Place())
    assert row.deadline_at is not None
    assert row.started_at is not None
    assert abs((row.deadline_at - row.started_at).total_seconds() - 77) < 5


def test_u3_a_launch_and_a_re_kick_return_before_the_first_step_and_complete_later(
    rig: Rig,
) -> None:
    run = launch(rig.store, Launch(program(), CTX))
    assert (run.status, run.result) == ("pending", None) or run.status == "running"
    assert worked_off(rig, run).status == "done"
    row = rerun(rig.store, run, Place())
    assert (row.status, row.result) == ("running", None)
    assert worked_off(rig, row).status == "done"
    other = fork(rig.store, row, Place("/children/1"))
    assert (other.status, other.result) == ("running", None)
    assert worked_off(rig, other).status == "done"


def test_u4_a_launch_that_dies_leaves_a_run_that_a_steward_starts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A departure: no driver owns a run, so that none leaves it interrupted."""

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(launching, "_start", die)
        with pytest.raises(KeyboardInterrupt):
            launch(rig.store, Launch(program(), CTX))
    run = Run.objects.get()
    assert run.status == "pending"
    _grow_old(run)
    Bookkeeper(rig.store, lambda: True).start_launched()
    assert worked_off(rig, run).status == "done"


def test_u4_who_dies_after_the_end_of_a_run_changes_nothing_of_it(rig: Rig) -> None:
    run = worked_off(rig, launch(rig.store, Launch(program(), CTX)))
    before = Run.objects.filter(pk=run.pk).values().get()
    assert not cancel_run(rig.store, run, "late")
    assert not fail_unstarted_run(rig.store, run, "died")
    Bookkeeper(rig.store, lambda: True).start_launched()
    Archiver(rig.store).turn()
    assert Run.objects.filter(pk=run.pk).values().get() == before


def _grow_old(run: Run) -> None:
    long_ago = run.created_at.replace(year=2020)
    Run.objects.filter(pk=run.pk).update(created_at=long_ago, opened_at=long_ago)


def test_u5_the_deadline_is_of_the_launch_else_of_the_blueprint_else_of_the_settings(
    rig: Rig, settings: Any
) -> None:
    """A departure: a run shows when its deadline is, and not who has set it."""
    settings.SWARM_RUN_DEADLINE = 3000
    for own, given, seconds in ((50.0, 7.0, 7), (50.0, None, 50), (None, None, 3000)):
        run = launch(
            rig.store, Launch(program(run_deadline_s=own), CTX, deadline_s=given)
        )
        assert run.deadline_at is not None
        assert run.deadline_at - run.created_at == timedelta(seconds=seconds)
        assert run.deadline_at > timezone.now()


def test_u6_what_is_set_beside_the_ctx_wins_over_it_and_both_over_the_default(
    rig: Rig,
) -> None:
    """`--set` is what the reference has as fields beside `init_ctx`."""
    default = {"n": 1, "m": 1, "k": 1, "deep": {"x": 1, "y": 1}}
    made = program(default_init_ctx=default)
    given = apply_sets(made, {"m": 2, "k": 2}, ["k=3", "deep.x=4"])
    run = launch(rig.store, Launch(made, given))
    assert run.ctx == {"n": 1, "m": 2, "k": 3, "deep": {"x": 4, "y": 1}}
    run = launch(rig.store, Launch(made, {"deep": {"x": 4}}))
    # As in the reference, a launch replaces what is below a key as a whole.
    assert run.ctx == {"n": 1, "m": 1, "k": 1, "deep": {"x": 4}}


def test_u7_a_re_kick_adds_a_run_to_the_same_task(rig: Rig) -> None:
    """A departure: a rerun of the whole run is its next generation, a fork a new run."""
    run = worked_off(rig, launch(rig.store, Launch(program(), CTX)))
    other = worked_off(rig, fork(rig.store, run, Place("/children/0")))
    assert (other.task_id, other.status) == (run.task_id, "done")
    assert list(run.task.runs.order_by("created_at")) == [run, other]
    row = worked_off(rig, rerun(rig.store, run, Place()))
    assert (row.pk, row.task_id, row.generation) == (run.pk, run.task_id, 2)


def test_u7_an_unknown_run_is_refused() -> None:
    for verb in (("rerun",), ("fork", "--from", "one")):
        text = refused("runs", verb[0], "R-" + "0" * 32, *verb[1:])
        assert "no run begins with R-000" in text
    assert "is a task id" in refused("runs", "rerun", "T-1")


def test_u8_a_re_kick_has_exactly_the_stored_input_and_overrides_leave_it_alone(
    rig: Rig,
) -> None:
    run = launch(rig.store, Launch(program(default_init_ctx={"k": 9}), CTX))
    task = Task.objects.filter(pk=run.task_id).values().get()
    run = worked_off(rig, run)
    first = run.ctx
    assert first == {"k": 9, **CTX}
    row = worked_off(rig, rerun(rig.store, run, Place()))
    assert (row.ctx, row.result) == (first, RunGeneration.objects.get(run=run).result)

    edits = read_sets(["n=5", "j.deep=1"])
    other = fork(rig.store, row, Place("/children/0", edits=edits))
    other = worked_off(rig, other)
    assert other.result == {"k": 9, "j": {"deep": 1}, "n": 5, "m": 2, "a": 5, "b": 2}
    assert Task.objects.filter(pk=run.task_id).values().get() == task
    run.refresh_from_db()
    assert run.ctx == other.ctx == first


def test_u10_a_failed_run_keeps_its_error_and_its_ctx_a_done_one_its_ctx_as_it_is(
    rig: Rig,
) -> None:
    """A departure: the Ctx of a failed run has the values, not only statuses of steps."""
    rig.spawner = Failing()
    run = worked_off(rig, launch(rig.store, Launch(program(), CTX)))
    assert run.status == "failed"
    assert run.error["kind"] == "DispatcherError"
    assert run.error["text"] == "dispatcher error for ref 'echo': no two"
    assert run.error["place"] == "/children/1"
    assert run.result == {**CTX, "a": 1}
    run = worked_off(rig, launch(rig.store, Launch(program(), {"n": 1, "m": 3})))
    assert (run.status, run.error) == ("done", None)
    assert run.result == {"n": 1, "m": 3, "a": 1, "b": 3}


def test_u11_an_archived_blueprint_is_refused_and_says_how_it_is_taken_out(
    rig: Rig, capsys: Any
) -> None:
    register("A")
    blueprint_archive("mail", actor=ADA, message="Old")
    run = worked_off(rig, launch(rig.store, Launch(program(), CTX)))
    refused("run", "mail@latest")
    told = capsys.readouterr().err
    text = refused(
        "runs", "fork", run.pk, "--from", "/children/1", "--blueprint", "mail@latest"
    )
    for one in (told, text):
        assert "is archived" in one
        assert "blueprint unarchive mail" in one
    assert Run.objects.count() == 1
    # A rerun has the program of its launch: no archive takes that away.
    assert rerun(rig.store, run, Place()).status == "running"


def test_u11_other_blueprints_that_are_not_found_are_refused_too(rig: Rig) -> None:
    register("A")
    run = worked_off(rig, launch(rig.store, Launch(program(), CTX)))
    for name, why in (("nobody@v1", "No Blueprint is named"), ("mail@v9", "v9")):
        text = refused(
            "runs", "fork", run.pk, "--from", "/children/1", "--blueprint", name
        )
        assert why in text
    assert Run.objects.count() == 1
