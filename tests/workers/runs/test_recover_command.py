"""`manage.py runs recover`: what it prints, refuses and changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from flow_documents import seq
from rig import Rig, step

from blueprints.models import Installation, Run, RunEvent
from workers.archive.archiver import Archiver
from workers.runs.control import cancel_run
from workers.runs.reconciling import reconcile
from workers.terminal.recovered_runs import _recovered

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lost(rig: Rig) -> list[Run]:
    """Three runs that an unknown server does not have; the journal of the first has a gap."""
    runs = [rig.launch(seq(step(), step())) for _ in range(3)]
    rig.work_off(most=3, steps=1)
    Archiver(rig.store).turn()
    RunEvent.objects.filter(run=runs[0], number=1).delete()
    Installation.objects.update(server="another")
    rig.store.wire.call("FLUSHALL")
    reconcile(rig.store)
    return runs


def recover(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it has printed."""
    with pytest.raises(SystemExit) as ended:
        call_command("runs", "recover", *args)
    return int(ended.value.code or 0), capsys.readouterr().out


def test_one_run_is_recovered_and_goes_on(
    rig: Rig, lost: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = lost[1]
    code, out = recover(capsys, run.pk)
    assert code == 0
    assert out.startswith(f"run {run.pk} is running, recovered as generation 2;")
    assert f"runs watch {run.pk}" in out
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run.status == "done"
    # It is not lost any more.
    with pytest.raises(CommandError, match="is done: only a run that Redis has lost"):
        call_command("runs", "recover", run.pk)


def test_all_are_tried_and_each_that_can_not_be_says_why(
    lost: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = recover(capsys, "--all", "--json")
    assert code == 1
    rows: list[dict[str, Any]] = json.loads(out)["runs"]
    assert [row["run"] for row in rows] == [run.pk for run in lost]
    assert [row["status"] for row in rows] == ["interrupted", "running", "running"]
    assert [row["generation"] for row in rows] == [1, 2, 2]
    assert "lacks entry 1" in rows[0]["error"]
    assert f"runs rerun {lost[0].pk}" in rows[0]["error"]
    assert [row["error"] for row in rows[1:]] == ["", ""]


def test_a_run_that_was_cancelled_after_it_was_listed_is_not_told_as_recovered(
    rig: Rig, lost: list[Run]
) -> None:
    listed = Run.objects.get(pk=lost[1].pk)
    assert cancel_run(rig.store, Run.objects.get(pk=listed.pk), "by a test")
    row = _recovered(rig.store, listed)
    assert (row["status"], row["generation"]) == ("cancelled", 1)
    assert row["error"] == f"run {listed.pk} is cancelled by now, and was not recovered"


def test_nothing_to_recover_is_no_failure(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.launch(seq(step()))
    assert recover(capsys, "--all") == (0, "no run waits for its recovery\n")
    assert recover(capsys, "--all", "--json") == (0, '{"runs": []}\n')


def test_a_run_that_is_not_lost_keeps_the_others_as_they_are(
    rig: Rig, lost: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    well = rig.launch(seq(step()))
    Archiver(rig.store).turn()
    for wrong, text in (
        (well.pk, f"run {well.pk} is running: only"),
        ("R-0", "R-0"),
    ):
        with pytest.raises(CommandError, match="nothing was recovered") as refused:
            call_command("runs", "recover", lost[1].pk, wrong)
        assert text in str(refused.value)
    assert Run.objects.get(pk=lost[1].pk).status == "interrupted"
    with pytest.raises(CommandError):
        call_command("runs", "recover")
