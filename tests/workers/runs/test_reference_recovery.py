"""The reference's acceptance list for a resume: RS1 to RS5, RE1 to RE6, RC1 to RC3, DR1, DR2.

A run is interrupted here where Redis has lost it and nobody may go on by himself. Its
journal is what the reference has as a replay log. A refusal is exit code 2, or an
Unrecoverable, where the reference has an HTTP status.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from flow_documents import at, seq
from flow_documents import step as step_to
from rig import QUEUE, Rig

from blueprints.models import Installation, Run, RunEvent, RunSnapshot, Step
from blueprints.models import Program as ProgramRow
from blueprints.models.events import events_of
from blueprints.services.runs import Launch
from engine.blueprint.program import Agent, Program
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from workers.archive.archiver import Archiver
from workers.runs.again import AgainRefused, Place, rerun
from workers.runs.control import resume_run
from workers.runs.launch import launch
from workers.runs.reconciling import reconcile
from workers.runs.recovery import Unrecoverable, recover_run

pytestmark = pytest.mark.django_db(transaction=True)

REPO = Path(__file__).resolve().parents[3]
FLOW = seq(*(step_to("add", at("$.n"), f"$.{out}") for out in ("n", "m", "k")))
PLACES = ["/children/0", "/children/1", "/children/2"]
CTX = {"n": 1, "text": "as it is"}
DONE = {"n": 2, "m": 3, "k": 3, "text": "as it is"}


class Adding:
    """Answers a step with its input plus one, and notes what it was given."""

    in_process = True

    def __init__(self) -> None:
        """Note nothing yet."""
        self.calls: list[tuple[str, Any, str]] = []

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        self.calls.append((call.place, call.input, call.step_id))
        return Outcome("passed", call.input + 1)

    @property
    def places(self) -> list[str]:
        """The places of its calls, in order."""
        return [place for place, _, _ in self.calls]


@pytest.fixture
def agent(rig: Rig) -> Adding:
    """The agent of every step of the rig."""
    rig.spawner = made = Adding()
    return made


def begun(rig: Rig) -> Run:
    """Launch a run of three steps."""
    agents = {"add": Agent("add", "python_fn", QUEUE, 60_000)}
    return launch(rig.store, Launch(Program("b", FLOW, agents), CTX))


def archived(rig: Rig, run: Run) -> Run:
    """Archive all there is; return the row of a run."""
    while Archiver(rig.store).turn():
        pass
    run.refresh_from_db()
    return run


def interrupted(rig: Rig) -> Run:
    """Return a run of which one step is archived, and which is interrupted."""
    run = begun(rig)
    rig.work_off(most=1, steps=1)
    archived(rig, run)
    lose(rig)
    run.refresh_from_db()
    assert (run.status, run.lost_status) == ("interrupted", "running")
    return run


def lose(rig: Rig) -> None:
    """Exchange Redis for another one, which is empty."""
    Installation.objects.update(server="another", place="")
    rig.store.wire.call("FLUSHALL")
    reconcile(rig.store)


def ended(rig: Rig, run: Run) -> Run:
    """Let a run go on to its end, and archive it."""
    rig.work_off()
    return archived(rig, run)


def passed(run: Run) -> list[str]:
    """Return the places of the steps that the journal has passed, in order."""
    rows = RunEvent.objects.filter(run=run).order_by("generation", "number")
    data = rows.values_list("data", flat=True)
    return [
        event[1] for one in data for event in events_of(one) if event[0] == "passed"
    ]


def refused(rig: Rig, run: Run, why: str) -> None:
    """Check that a run can't be recovered, and is interrupted as before."""
    before = (Run.objects.count(), RunSnapshot.objects.count(), passed(run))
    with pytest.raises(Unrecoverable, match=why):
        recover_run(rig.store, run)
    run.refresh_from_db()
    assert (run.status, run.generation) == ("interrupted", 1)
    assert rig.store.head(run.pk) is None
    assert (Run.objects.count(), RunSnapshot.objects.count(), passed(run)) == before


def another_server(*args: str) -> Any:
    """Return what a command prints as JSON in a process of its own."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
    }
    connection.close()
    done = subprocess.run(
        [sys.executable, "manage.py", "runs", *args, "--json"],
        cwd=REPO,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["recover", "resume"])
def test_rs1_an_unknown_run_is_refused(rig: Rig, verb: str) -> None:
    with pytest.raises(CommandError, match="no run begins with R-000") as error:
        call_command("runs", verb, "R-" + "0" * 32)
    assert error.value.returncode == 2


def test_rs2_a_run_that_is_not_interrupted_is_refused(rig: Rig, agent: Adding) -> None:
    run = begun(rig)
    for status in ("running", "done"):
        before = Run.objects.filter(pk=run.pk).values().get()
        with pytest.raises(
            CommandError, match=f"is {status}: only a run that"
        ) as error:
            call_command("runs", "recover", run.pk)
        assert error.value.returncode == 2
        # To resume it is no error, and changes nothing.
        assert resume_run(rig.store, run).generation == 1
        assert Run.objects.filter(pk=run.pk).values().get() == before
        run = ended(rig, run)
    assert agent.places == PLACES


def test_rs3_an_interrupted_run_without_its_program_stays_interrupted(
    rig: Rig, agent: Adding
) -> None:
    run = interrupted(rig)
    ProgramRow.objects.filter(pk=run.program_id).update(document={"format": 999})
    refused(rig, Run.objects.get(pk=run.pk), "can't be rebuilt from the archive")
    assert agent.places == PLACES[:1]


def test_rs4_an_interrupted_run_goes_on_under_its_id_and_ends_done(
    rig: Rig, agent: Adding, capsys: Any
) -> None:
    run = interrupted(rig)
    with pytest.raises(SystemExit) as ended_with:
        call_command("runs", "recover", run.pk, "--json")
    assert ended_with.value.code == 0
    [row] = json.loads(capsys.readouterr().out)["runs"]
    assert row == {"run": run.pk, "generation": 2, "status": "running", "error": ""}
    run = ended(rig, run)
    assert (run.status, run.result) == ("done", DONE)
    assert agent.places == PLACES


def test_rs4_a_done_run_that_was_forced_to_interrupted_does_not_run_again(
    rig: Rig, agent: Adding
) -> None:
    """A departure: the reference replays all of it. Here the journal says that it is done."""
    run = ended(rig, begun(rig))
    Run.objects.filter(pk=run.pk).update(status="interrupted")
    lose(rig)
    refused(rig, Run.objects.get(pk=run.pk), "its journal ends as done")
    assert agent.places == PLACES
    run.refresh_from_db()
    row = ended(rig, rerun(rig.store, run, Place()))
    assert (row.status, row.result) == ("done", DONE)


def test_rs5_a_program_with_altered_agents_is_refused_before_anything_changes(
    rig: Rig, agent: Adding
) -> None:
    run = interrupted(rig)
    program = ProgramRow.objects.get(pk=run.program_id)
    text = json.dumps(program.document).replace('"python_fn"', '"subprocess"')
    ProgramRow.objects.filter(pk=program.pk).update(document=json.loads(text))
    run = Run.objects.get(pk=run.pk)
    refused(rig, run, "can't be rebuilt from the archive")
    for place in (Place(), Place(PLACES[0]), Place(only_failed=True)):
        with pytest.raises(AgainRefused, match="is not the one"):
            rerun(rig.store, run, place)
    run.refresh_from_db()
    assert (run.status, run.generation) == ("interrupted", 1)
    assert agent.places == PLACES[:1]


def test_re1_a_launch_writes_one_end_for_each_step(rig: Rig, agent: Adding) -> None:
    run = ended(rig, begun(rig))
    assert passed(run) == PLACES
    assert list(Step.objects.filter(run=run).values_list("place", flat=True)) == PLACES


def test_re2_re3_another_process_has_the_rows_and_reports_the_run_as_interrupted(
    rig: Rig, agent: Adding
) -> None:
    run = interrupted(rig)
    got = another_server("show", run.pk)
    assert (got["run"], got["status"]) == (run.pk, "interrupted")
    ended_steps = [one["place"] for one in got["steps"] if one["status"] == "passed"]
    assert ended_steps == PLACES[:1]
    assert f"runs recover {run.pk}" in got["error"]["text"]
    assert another_server("list", "--failed")["items"][0]["run"] == run.pk


def test_re4_re5_re6_a_recovery_repeats_no_step_and_stores_the_result(
    rig: Rig, agent: Adding
) -> None:
    """A departure: it does not tell how many steps were replayed; those are not repeated."""
    run = interrupted(rig)
    assert recover_run(rig.store, run).pk == run.pk
    run = ended(rig, run)
    assert (run.status, run.result) == ("done", DONE)
    # The step of before has the end that it had, and no other.
    assert passed(run) == PLACES
    assert (
        sorted(Step.objects.filter(run=run).values_list("place", flat=True)) == PLACES
    )


def test_rc1_rc2_rc3_an_interrupted_run_sees_and_makes_what_any_other_does(
    rig: Rig, agent: Adding
) -> None:
    whole = ended(rig, begun(rig))
    calls = [(place, given) for place, given, _ in agent.calls]
    agent.calls.clear()
    run = interrupted(rig)
    recover_run(rig.store, run)
    run = ended(rig, run)
    assert [(place, given) for place, given, _ in agent.calls] == calls
    assert (run.result, run.status) == (whole.result, whole.status)
    ids = {place: key for place, _, key in agent.calls}
    assert dict(Step.objects.filter(run=run).values_list("place", "key")) == ids


def test_dr1_a_journal_that_can_not_be_read_leaves_the_run_interrupted(
    rig: Rig, agent: Adding
) -> None:
    run = interrupted(rig)
    row = RunEvent.objects.filter(run=run).order_by("-number").first()
    assert row is not None
    data = bytes(row.data)
    RunEvent.objects.filter(pk=row.pk).update(data=b"\x00nothing")
    with pytest.raises(Unrecoverable, match="can't be rebuilt from the archive"):
        recover_run(rig.store, run)
    run.refresh_from_db()
    assert (run.status, run.generation, run.error["kind"]) == (
        "interrupted", 1, "RedisLost",
    )  # fmt: skip
    # With the row as it was, it goes on.
    RunEvent.objects.filter(pk=row.pk).update(data=data)
    recover_run(rig.store, run)
    assert ended(rig, run).result == DONE
    assert agent.places == PLACES


def test_dr2_a_database_that_refuses_the_rows_leaves_the_run_interrupted(
    rig: Rig, agent: Adding
) -> None:
    run = interrupted(rig)
    RunSnapshot.objects.create(run=run, generation=2, data=b"{}")
    with pytest.raises(IntegrityError):
        recover_run(rig.store, run)
    run.refresh_from_db()
    assert (run.status, run.generation) == ("interrupted", 1)
    assert rig.store.head(run.pk) is None
    RunSnapshot.objects.all().delete()
    recover_run(rig.store, run)
    assert ended(rig, run).result == DONE
    assert agent.places == PLACES
