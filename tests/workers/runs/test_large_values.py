"""Values that are too large for the Ctx, from the launch to what is shown of a run."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from flow_documents import at, fanout, let, lit, seq
from rig import Rig, program, step

from blueprints.conf import output_store
from blueprints.models import OutputReference, Run, RunEvent
from blueprints.selectors.replays import run_replay
from blueprints.services.outputs import check_outputs
from blueprints.stores.outputs.files import FileOutputs
from engine.output_store import OutputsAway, name_of
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.entries import archived_entry
from engine.run.replay import recorded
from engine.testing import MemoryOutputStore
from workers import wiring
from workers.archive.archiver import MOST_TRIES, Archiver
from workers.runs import recovery
from workers.runs.again import AgainRefused, Place, StartsLater, fork, rerun
from workers.runs.launch import start_run
from workers.runs.reconciling import reconcile
from workers.runs.recovery import Unrecoverable, recover_run
from workers.terminal.reporter import Reporter

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "x" * 100_000
ITEMS = [f"{n}" * 50_000 for n in range(3)]
STORED = 8_000
"""More than any stored form of these runs has, and less than any of these values."""


NAMED = "no output"
GONE = "its output [0-9a-f]{64} is no longer in the store"


class Doubling:
    """Answers a step with its input twice."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Return the text twice."""
        return Outcome("passed", 2 * call.input)


def largest(rig: Rig, run: Run) -> int:
    """Return the bytes of the largest value that Redis has of a run."""
    call, sizes = rig.store.wire.call, [0]
    for key in call("KEYS", f"swarm:s:r:{run.pk}:*"):
        match call("TYPE", key):
            case b"hash":
                sizes += map(len, call("HVALS", key))
            case b"list":
                sizes += map(len, call("LRANGE", key, 0, -1))
            case b"string":
                sizes.append(call("STRLEN", key))
    return max(sizes)


def archived(rig: Rig, run: Run) -> Run:
    rig.work_off()
    assert largest(rig, run) < STORED
    return ended(rig, run)


def ended(rig: Rig, run: Run) -> Run:
    rig.work_off()
    while Archiver(rig.store).turn():
        pass
    run.refresh_from_db()
    assert run.status == "done"
    return run


def lost_after_a_step(rig: Rig, run: Run) -> None:
    rig.work_off(most=1, steps=1)
    while Archiver(rig.store).turn():
        pass
    rig.store.wire.call("FLUSHALL")
    reconcile(rig.store)
    run.refresh_from_db()


def shown(capsys: Any, *args: str) -> Any:
    # A replay ends with the exit code of what it found.
    with contextlib.suppress(SystemExit):
        call_command("runs", *args, "--json")
    return json.loads(capsys.readouterr().out)


def test_large_values_are_outputs_and_shown_as_what_they_are(
    rig: Rig, capsys: Any
) -> None:
    rig.spawner = Doubling()
    flow = seq(step("$.text"), fanout(at("$.items"), step("$.item")))
    run = archived(rig, rig.launch(flow, {"text": TEXT, "items": ITEMS}))
    made = [2 * item for item in ITEMS]
    assert run.result["text"] == 2 * TEXT
    assert [lane["item"] for lane in run.result["out"]] == made
    rows = list(RunEvent.objects.filter(run=run))
    assert max(len(row.data) for row in rows) < STORED
    named = {ref["sha256"] for row in rows for ref in archived_entry(row.data).outputs}
    assert len(named) == len([TEXT, 2 * TEXT, *ITEMS, *made])
    report = shown(capsys, "replay", run.pk)
    assert (report["difference"], report["ctx"]) == (None, run.result)
    found = shown(capsys, "show", run.pk, "/children/0")
    [attempt] = found["attempts"]
    assert (attempt["input"], attempt["output"]) == (TEXT, 2 * TEXT)
    assert found["missing"] == {}
    assert found["ctx_before"]["items"] == ITEMS
    assert found["ctx_after"]["text"] == 2 * TEXT


def test_an_output_that_is_gone_is_named_where_it_is_needed(
    rig: Rig, capsys: Any
) -> None:
    rig.spawner = Doubling()
    run = archived(rig, rig.launch(seq(step("$.text"), step("$.text")), {"text": TEXT}))
    store = output_store()
    for name, put_at in list(store.stamps("")):
        assert store.delete_older(name, put_at.replace(year=9999))
    report = shown(capsys, "replay", run.pk)
    # The replay itself looks into no value.
    assert (report["difference"], report["ctx"]) == (None, None)
    assert NAMED in report["ctx_missing"]
    found = shown(capsys, "show", run.pk, "/children/1")
    [attempt] = found["attempts"]
    assert (attempt["input"], attempt["output"], found["ctx_after"]) == (None,) * 3
    assert all(NAMED in found["missing"][name] for name in ("input", "output", "after"))


def test_a_final_ctx_that_is_too_large_for_its_row_is_an_output(
    rig: Rig, settings: Any, capsys: Any
) -> None:
    settings.SWARM_INPUT_LIMIT = 100_000
    run = archived(rig, rig.launch(seq(step("$.n")), {"n": 1, "texts": [TEXT, TEXT]}))
    # It is done, and Redis needs to keep nothing.
    assert (run.result, run.error) == (None, None)
    assert rig.store.head(run.pk) is None
    report = shown(capsys, "show", run.pk)
    kept = report["ctx_output"]
    assert (report["ctx"], kept["size"] > 2 * len(TEXT)) == (None, True)
    made = shown(capsys, "outputs", run.pk, kept["id"])
    assert made["event"]["type"] == "ctx"
    assert made["value"]["texts"] == [TEXT, TEXT]
    reporter = Reporter(sys.stdout, sys.stderr, as_json=False)
    assert reporter.ended(run, "1 step") == 0
    told = capsys.readouterr()
    assert (told.out, kept["id"] in told.err) == ("", True)
    # The content is needed as long as the run is.
    assert OutputReference.objects.filter(run=run, sha256=kept["sha256"]).exists()


def test_an_archive_waits_for_outputs_that_are_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = MemoryOutputStore()
    monkeypatch.setattr(wiring, "output_store", lambda: away)
    run = rig.launch(seq(step("$.text")), {"text": TEXT})
    rig.work_off()
    away.away = True
    with pytest.raises(OutputsAway):
        Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run.status == "running"
    away.away = False
    assert archived(rig, run).result["text"] == TEXT


def test_what_only_looks_like_a_reference_is_none(rig: Rig) -> None:
    file = {"id": "f", "sha256": "ab" * 32, "size": 1, "depth": 1, "preview": "x"}
    item = f"{TEXT}i"
    ctx = {"n": 1, "file": file, "text": TEXT, "items": [item, file]}
    flow = seq(step("$.n"), fanout(at("$.items"), step("$.item")), step("$.file"))
    run = archived(rig, rig.launch(flow, ctx))
    for place in ("/children/1/lane[1]", "/children/2", "/children/2"):
        OutputReference.objects.all().delete()
        run = archived(rig, rerun(rig.store, run, Place(place)))
        named = set(OutputReference.objects.values_list("sha256", flat=True))
        assert {name_of(orjson.dumps(one)) for one in (TEXT, item)} <= named
        assert named <= {name for name, _ in output_store().stamps("")}


def test_a_generation_waits_for_outputs_that_are_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = archived(rig, rig.launch(seq(step("$.text")), {"text": TEXT}))
    away = MemoryOutputStore()
    away.away = True
    monkeypatch.setattr(wiring, "output_store", lambda: away)
    with pytest.raises(StartsLater, match="it starts when the outputs are there: the"):
        rerun(rig.store, run, Place())
    run.refresh_from_db()
    assert (run.generation, run.status) == (2, "pending")
    away.away = False
    start_run(rig.store, run)
    assert archived(rig, run).result["text"] == TEXT


def test_a_recovery_waits_for_outputs_that_are_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    away = MemoryOutputStore()
    for module in (wiring, recovery):
        monkeypatch.setattr(module, "output_store", lambda: away)
    # Nothing of it is archived, so its first transition is made again.
    run = rig.launch(seq(step("$.text")), {"text": TEXT})
    rig.store.wire.call("FLUSHALL")
    reconcile(rig.store)
    away.away = True
    [row] = shown(capsys, "recover", run.pk)["runs"]
    assert (row["generation"], row["status"]) == (1, "running")
    assert (
        "is not recovered yet: the test says that the outputs are away" in row["error"]
    )
    away.away = False
    [row] = shown(capsys, "recover", run.pk)["runs"]
    assert (row["generation"], row["error"]) == (2, "")
    assert archived(rig, run).result["text"] == TEXT


@pytest.fixture
def own_outputs(settings: Any, tmp_path: Path) -> FileOutputs:
    """The store of this test alone, whose files it may spoil."""
    settings.VAR_DIR = tmp_path
    check_outputs()
    store = output_store()
    assert isinstance(store, FileOutputs)
    return store


def make_unreadable(store: FileOutputs, value: str) -> Path:
    """Let the store fail for one content only; return the place of its file."""
    name = name_of(json.dumps(value).encode())
    path = store.root / name[:2] / name
    path.unlink()
    path.mkdir()
    return path


def test_one_content_that_can_not_be_read_stops_no_other_run_for_long(
    rig: Rig, own_outputs: FileOutputs
) -> None:
    stuck = rig.launch(seq(step("$.text")), {"text": TEXT})
    other = rig.launch(seq(step("$.n")), {"n": 1})
    rig.work_off()
    path = make_unreadable(own_outputs, TEXT)
    archiver = Archiver(rig.store)
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(OutputsAway):
            archiver.turn()
    archiver.turn()
    for run in (stuck, other):
        run.refresh_from_db()
    assert (other.status, other.result) == ("done", {"n": 1})
    assert (stuck.status, stuck.result) == ("done", None)
    assert stuck.error["kind"] == "ResultAway"
    assert f"runs replay {stuck.pk}" in stuck.error["text"]
    assert rig.store.head(stuck.pk) is not None
    assert rig.store.head(other.pk) is None
    path.rmdir()
    own_outputs.put(json.dumps(TEXT).encode())
    assert run_replay(stuck)["ctx"] == {"text": TEXT}


def test_one_final_ctx_that_can_not_be_put_stops_no_other_run_for_long(
    rig: Rig, own_outputs: FileOutputs, settings: Any
) -> None:
    settings.SWARM_INPUT_LIMIT = 100_000
    ctx = {"n": 1, "texts": [TEXT, TEXT]}
    stuck, other = rig.launch(seq(step("$.n")), ctx), rig.launch(seq(step("$.n")))
    rig.work_off()
    name = name_of(json.dumps(ctx, separators=(",", ":")).encode())
    lock = own_outputs.root / name[:2] / "lock"
    lock.unlink(missing_ok=True)
    lock.mkdir(parents=True)
    archiver = Archiver(rig.store)
    for _ in range(MOST_TRIES):
        with contextlib.suppress(OutputsAway):
            archiver.turn()
    for run in (stuck, other):
        run.refresh_from_db()
    assert (stuck.status, stuck.error["kind"]) == ("done", "ResultAway")
    assert (other.status, other.result) == ("done", {"n": 1})


def forget(*values: str) -> None:
    """Delete the contents of values from the store."""
    store = output_store()
    names = {name_of(orjson.dumps(one)) for one in values}
    for name, put_at in [one for one in store.stamps("") if one[0] in names]:
        assert store.delete_older(name, put_at.replace(year=9999))


@pytest.mark.parametrize("kept", [1_000, recorded.KEPT_BYTES])
def test_another_version_makes_values_that_the_run_has_not_put(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(recorded, "KEPT_BYTES", kept)
    rest = [step("$.p"), step("$.n"), step("$.q")]
    old = seq(let("$.q", lit("a")), let("$.p", lit("b")), *rest)
    run = archived(rig, rig.launch(old))
    new = program(seq(let("$.q", lit(TEXT)), let("$.p", lit(ITEMS[1])), *rest))
    made = fork(rig.store, run, Place("/children/2", program=new))
    result = ended(rig, made).result
    assert (result["q"], result["p"]) == (TEXT, ITEMS[1])


@pytest.mark.parametrize("kept", [1_000, recorded.KEPT_BYTES])
def test_a_recovery_puts_what_the_workers_had_kept_in_the_ctx(
    rig: Rig, settings: Any, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The workers had another limit than the process that launched the run."""
    monkeypatch.setattr(recorded, "KEPT_BYTES", kept)
    rig.spawner = Doubling()
    limit = settings.SWARM_INLINE_LIMIT
    short = "x" * (limit - 1_000)
    flow = seq(step("$.text"), let("$.copy", at("$.text")), step("$.copy"))
    run = rig.launch(flow, {"text": short})
    settings.SWARM_INLINE_LIMIT = 1 << 20
    lost_after_a_step(rig, run)
    settings.SWARM_INLINE_LIMIT = limit
    assert recover_run(rig.store, run).generation == 2
    assert ended(rig, run).result["copy"] == 4 * short


def test_no_generation_begins_with_a_value_that_is_gone(rig: Rig) -> None:
    rig.spawner = Doubling()
    flow = seq(step("$.text"), step("$.n"))
    run = archived(rig, rig.launch(flow, {"n": 1, "text": TEXT}))
    forget(2 * TEXT)
    with pytest.raises(AgainRefused, match=GONE):
        rerun(rig.store, run, Place("/children/1"))
    run.refresh_from_db()
    assert (run.generation, run.status) == (1, "done")
    # From before it nothing needs it, and what the launch has put is made again.
    forget(TEXT)
    run = archived(rig, rerun(rig.store, run, Place("/children/0")))
    assert run.result["text"] == 2 * TEXT


def test_no_recovery_begins_with_a_value_that_is_gone(rig: Rig) -> None:
    rig.spawner = Doubling()
    run = rig.launch(seq(step("$.text"), step("$.text")), {"text": TEXT})
    lost_after_a_step(rig, run)
    forget(2 * TEXT)
    with pytest.raises(Unrecoverable, match=GONE):
        recover_run(rig.store, run)
    run.refresh_from_db()
    assert (run.generation, run.status) == (1, "interrupted")
