"""Outputs in the database: records, who refers to a content, and what is deleted when."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from flow_documents import seq
from rig import Rig, step

from blueprints.conf import output_store
from blueprints.models import OutputRecord, OutputReference, Run
from blueprints.selectors.replays import run_replay
from blueprints.services import retention
from blueprints.services.outputs import check_outputs, outputs_probe
from blueprints.stores.outputs.files import FileOutputs
from engine.ids import step_id
from engine.output_store import OutputMissing, name_of
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import Artifact, FileContent, Final
from workers.archive.archiver import Archiver
from workers.doctor.outputs import findings
from workers.runs.again import AgainRefused, Place, fork, rerun
from workers.runs.retention import delete_run
from workers.steward.output_sweep import LAG_MS, OutputSweep

pytestmark = pytest.mark.django_db

LARGE = "a large text, " * 2_000
NAME = name_of(json.dumps(LARGE).encode())


class Writer:
    """Answers with what it was told to."""

    in_process = True

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def run(self, call: StepCall) -> Outcome:
        return Outcome("passed", self.answer)


class Emitter:
    """Gives a part and two finals."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        call.emit(Artifact("index.md", "- a\n- b"))
        call.emit(Final({"draft": 1}, by="first"))
        call.emit(Final({"draft": 2}))
        return Outcome("passed", {"draft": 2})


@pytest.fixture(autouse=True)
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.management.commands.runs.database_ready", lambda: None)


@pytest.fixture
def kept(settings: Any, tmp_path: Any) -> Iterator[FileOutputs]:
    """The store of this test alone."""
    settings.VAR_DIR = tmp_path
    check_outputs()
    return output_store()  # type: ignore[return-value]


def ran(rig: Rig, answer: Any = LARGE, ctx: Any = None) -> Run:
    rig.spawner = Writer(answer)
    run = rig.launch(seq(step("$.n"), step("$.m")), ctx or {"n": 1, "m": 2})
    rig.work_off()
    Archiver(rig.store).turn()
    return Run.objects.get(pk=run.pk)


def age(store: FileOutputs, sha256: str, days: float) -> None:
    """Set back the time of a content's last put."""
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(store.root / sha256[:2] / sha256, (at, at))


def swept(rig: Rig) -> int:
    return OutputSweep(rig.store, lambda: True).sweep()


def test_a_large_result_is_recorded_with_its_step(rig: Rig, kept: FileOutputs) -> None:
    run = ran(rig)

    first, second = OutputRecord.objects.filter(run=run).order_by("number")
    assert (first.place, second.place) == ("/children/0", "/children/1")
    assert (first.attempt, first.producer_agent) == (1, "echo")
    assert first.task_id == step_id(run.pk, 1, "/children/0")
    content = first.event["content"]
    assert first.event["type"] == "final"
    assert first.event["ok"] is True
    assert (content["kind"], content["id"]) == ("output", first.pk)
    assert (content["sha256"], content["size"]) == (NAME, len(LARGE) + 2)
    assert json.loads(kept.get(NAME)) == LARGE
    # One content, kept once, for both steps.
    assert [row.sha256 for row in run.output_references.all()] == [NAME]
    assert run.result == {"n": LARGE, "m": LARGE}


def test_a_part_that_is_large_by_itself_is_recorded_with_its_path(
    rig: Rig, kept: FileOutputs
) -> None:
    run = ran(rig, {"note": "small", "pages": ["small", LARGE]})

    record = OutputRecord.objects.filter(run=run).first()
    assert record is not None
    assert record.event["at"] == "$.pages[1]"
    assert record.event["content"]["sha256"] == NAME


def test_a_large_value_of_the_launch_is_recorded_without_a_step(
    rig: Rig, kept: FileOutputs
) -> None:
    run = ran(rig, 1, {"n": 1, "m": LARGE})

    record = OutputRecord.objects.get(run=run)
    assert (record.place, record.task_id, record.producer_agent) == ("", "", "")
    assert record.event["type"] == "value"
    assert record.event["content"]["sha256"] == NAME


def test_parts_and_finals_that_are_emitted_are_recorded_and_small_results_are_not(
    rig: Rig, kept: FileOutputs
) -> None:
    rig.spawner = Emitter()
    run = rig.launch(seq(step()))
    rig.work_off()
    archiver = Archiver(rig.store)
    archiver.turn()
    found = list(OutputRecord.objects.filter(run=run).order_by("number", "pk"))

    assert sorted(one.event["type"] for one in found) == ["artifact", "final", "final"]
    assert {one.producer_agent for one in found} == {"echo"}
    assert {one.task_id for one in found} == {step_id(run.pk, 1, "/children/0")}
    assert not OutputReference.objects.exists()
    rig.spawner = Writer(1)
    assert not OutputRecord.objects.filter(run=ran(rig, 1)).exists()


def test_what_is_archived_twice_is_recorded_once(rig: Rig, kept: FileOutputs) -> None:
    run = ran(rig)
    before = list(OutputRecord.objects.values())

    rig.store.wire.call("DEL", "swarm:s:archived")
    Archiver(rig.store).turn()

    assert list(OutputRecord.objects.values()) == before
    assert OutputReference.objects.filter(run=run).count() == 1


def test_a_content_is_deleted_a_day_after_its_last_put_if_no_run_refers_to_it(
    rig: Rig, kept: FileOutputs
) -> None:
    run = ran(rig)
    orphan = kept.put(b'"of a worker that died before its commit"')
    young = kept.put(b'"put again meanwhile"')
    age(kept, NAME, 400)
    age(kept, outputs_probe(), 400)
    age(kept, orphan, 1.01)
    age(kept, young, 0.99)

    assert swept(rig) == 1

    assert kept.get(NAME)
    assert kept.get(young)
    assert kept.get(outputs_probe())
    with pytest.raises(OutputMissing):
        kept.get(orphan)
    delete_run(rig.store, run, "me")
    assert not OutputReference.objects.exists()
    assert not OutputRecord.objects.exists()
    assert swept(rig) == 1
    with pytest.raises(OutputMissing):
        kept.get(NAME)


def test_a_fork_refers_to_what_its_origin_has_given_it(
    rig: Rig, kept: FileOutputs
) -> None:
    run = ran(rig)
    forked = fork(rig.store, run, Place("/children/1"))
    delete_run(rig.store, run, "me")
    age(kept, NAME, 400)

    assert swept(rig) == 0
    rig.work_off()
    Archiver(rig.store).turn()

    assert Run.objects.get(pk=forked.pk).result == {"n": LARGE, "m": LARGE}


def test_a_run_whose_outputs_are_gone_is_not_run_again(
    rig: Rig, kept: FileOutputs
) -> None:
    run = ran(rig)
    before = Run.objects.values().get()
    (kept.root / NAME[:2] / NAME).unlink()

    for again in (fork, rerun):
        with pytest.raises(AgainRefused, match=f"its output {NAME} is no longer"):
            again(rig.store, run, Place("/children/1"))

    assert Run.objects.values().get() == before


def test_a_run_is_replayed_with_its_outputs(
    rig: Rig, kept: FileOutputs, capsys: Any
) -> None:
    run = ran(rig)

    assert run_replay(run)["difference"] is None
    assert run_replay(run)["ctx"] == {"n": LARGE, "m": LARGE}
    (kept.root / NAME[:2] / NAME).unlink()
    assert f"no output {NAME}" in run_replay(run)["ctx_missing"]


def test_nothing_is_deleted_while_the_archive_lags(
    rig: Rig, kept: FileOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.spawner = Writer(LARGE)
    rig.launch(seq(step()))
    rig.work_off()
    age(kept, NAME, 2)
    sweep = OutputSweep(rig.store, lambda: True)
    now = rig.store.now_ms()
    monkeypatch.setattr(rig.store, "now_ms", lambda: now + LAG_MS + 60_000)

    assert sweep.lag() == "the archive is behind"
    assert sweep.sweep() == 0
    assert kept.get(NAME)

    Archiver(rig.store).turn()
    assert sweep.lag() == ""
    assert sweep.sweep() == 0


def test_nothing_is_deleted_while_the_journal_of_an_open_run_has_a_gap(
    rig: Rig, kept: FileOutputs
) -> None:
    run = rig.launch(seq(step()))
    Archiver(rig.store).turn()
    orphan = kept.put(b'"maybe named in the gap"')
    age(kept, orphan, 2)
    Run.objects.filter(pk=run.pk).update(unreplayable="entry 3: lost")

    assert swept(rig) == 0

    Run.objects.filter(pk=run.pk).update(status="cancelled")
    assert swept(rig) == 1


def test_why_nothing_is_deleted_is_told_once_and_by_doctor(
    rig: Rig, kept: FileOutputs, caplog: pytest.LogCaptureFixture
) -> None:
    run = rig.launch(seq(step()))
    Archiver(rig.store).turn()
    [fine] = findings()
    Run.objects.filter(pk=run.pk).update(unreplayable="entry 3: lost")
    sweep = OutputSweep(rig.store, lambda: True)
    why = f"the journal of run {run.pk}, which is open, has a gap"

    for _ in range(2):
        assert sweep.sweep() == 0
    assert caplog.messages == [f"steward: no outputs are deleted: {why}"]
    [warning, room] = findings()
    assert (warning.level, warning.text) == ("warn", f"none are deleted: {why}")
    assert room == fine
    Run.objects.filter(pk=run.pk).update(unreplayable="")
    sweep.sweep()
    Run.objects.filter(pk=run.pk).update(unreplayable="entry 3: lost")
    sweep.sweep()
    assert len(caplog.messages) == 2


def test_nothing_is_deleted_after_the_last_entry_of_an_open_run_was_set_aside(
    rig: Rig, kept: FileOutputs
) -> None:
    rig.spawner = Writer(LARGE)
    run = rig.launch(seq(step("$.n"), step("$.m")), {"n": 1, "m": 2})
    Archiver(rig.store).turn()
    rig.work_off(most=1, steps=1)
    rig.spoil_last(run.pk, b"{")
    archiver = Archiver(rig.store)
    archiver.turn()
    run.refresh_from_db()
    assert run.status == "running"
    age(kept, NAME, 2)

    assert swept(rig) == 0
    assert kept.get(NAME)
    assert run.unreplayable.startswith("entry 3: not JSON: ")
    rig.work_off()
    archiver.turn()
    before, run = run.unreplayable, Run.objects.get(pk=run.pk)
    assert (run.status, run.unreplayable) == ("done", before)


def test_a_sweep_goes_on_where_the_last_one_ended(
    rig: Rig, kept: FileOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 3)
    for number in range(10):
        age(kept, kept.put(str(number).encode()), 2)
    turns = iter([True, True, True, True, False])

    after, first = retention.outputs_delete_unused("", lambda: next(turns))
    left = [name for name, _ in kept.stamps(after)]
    _, rest = retention.outputs_delete_unused(after, lambda: True)

    assert (first > 0, rest > 0, first + rest) == (True, True, 10)
    assert len(left) < 11


def test_a_host_with_other_outputs_deletes_nothing(
    rig: Rig, kept: FileOutputs, settings: Any, tmp_path: Any
) -> None:
    settings.VAR_DIR = tmp_path / "there"
    other: Any = output_store()
    orphan = other.put(b'"of another installation"')
    age(other, orphan, 2)

    with pytest.raises(Exception, match="does not see the outputs"):
        swept(rig)
    assert other.get(orphan)


def told(capsys: Any, *args: str) -> Any:
    call_command("runs", "outputs", *args, "--json")
    return json.loads(capsys.readouterr().out)


def test_the_command_lists_outputs_and_prints_one(
    rig: Rig, kept: FileOutputs, capsys: Any
) -> None:
    run = ran(rig)
    record = OutputRecord.objects.filter(run=run).first()
    assert record is not None

    listed = told(capsys, run.pk)
    assert listed["run"] == run.pk
    assert listed["outputs"][0]["task_id"] == record.task_id
    assert listed["outputs"][0]["parent_refs"] == []
    assert told(capsys, run.pk, record.pk)["value"] == LARGE

    call_command("runs", "outputs", run.pk)
    page = capsys.readouterr().out
    assert f"{record.pk}  final" in page
    assert '28002 bytes  "a large text,' in page
    call_command("runs", "outputs", run.pk, record.pk)
    assert capsys.readouterr().out == f"{json.dumps(LARGE)}\n"


def test_a_file_of_a_child_process_is_recorded_kept_and_written(
    rig: Rig, kept: FileOutputs, capsys: Any, tmp_path: Any
) -> None:
    name = kept.put(b"\xff a picture")

    class Gives:
        in_process = True

        def run(self, call: StepCall) -> Outcome:
            call.emit(Artifact("picture", FileContent("/tmp/p", name, 11, "image/x")))
            return Outcome("passed", 1)

    rig.spawner = Gives()
    run = rig.launch(seq(step()))
    rig.work_off()
    Archiver(rig.store).turn()

    record = OutputRecord.objects.get(run=run)
    assert record.event["content"]["sha256"] == name
    assert [row.sha256 for row in run.output_references.all()] == [name]
    with pytest.raises(CommandError, match="is no text: write it with -o FILE"):
        call_command("runs", "outputs", run.pk, record.pk)
    file = tmp_path / "picture"
    assert told(capsys, run.pk, record.pk, "-o", str(file))["file"] == str(file)
    assert file.read_bytes() == b"\xff a picture"
    run.refresh_from_db()
    assert run.result["n"]["parts"]["picture"]["file_ref"] == "/tmp/p"


def test_the_command_says_what_is_not_there(
    rig: Rig, kept: FileOutputs, capsys: Any
) -> None:
    run = ran(rig)
    record = OutputRecord.objects.filter(run=run).first()
    assert record is not None
    near = f"{record.pk[:-1]}z"

    with pytest.raises(CommandError, match=rf"no output '{near}'; did you mean 'out-"):
        call_command("runs", "outputs", run.pk, near)
    (kept.root / NAME[:2] / NAME).unlink()
    with pytest.raises(CommandError, match=rf"can't be read: .* has no output {NAME}"):
        call_command("runs", "outputs", run.pk, record.pk)
