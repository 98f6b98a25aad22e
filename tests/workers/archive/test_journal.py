"""The archived journal: the bytes of the entries, their hashes, and the gaps."""

import json
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import connection
from flow_documents import seq
from rig import Rig, step

from blueprints.models import Run, RunEvent
from blueprints.selectors.journal import journal_check, run_entries
from engine.store.base import generation_key
from engine.store.redis import STATE
from workers.archive import archiver as archive_module
from workers.archive.archiver import Archiver

pytestmark = pytest.mark.django_db

WIDE: Any = {
    "kind": "fanout",
    "items": {"op": "lit", "value": [1, 2, 3]},
    "bind": {"op": "path", "at": "$.n"},
    "body": seq(step(), step()),
    "join": "all",
    "out": {"op": "path", "at": "$.out"},
}


@pytest.fixture(autouse=True)
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("runs", "journal"):
        monkeypatch.setattr(
            f"workers.management.commands.{module}.database_ready", lambda: None
        )


def key_of(run: Run) -> str:
    """Return the key of a run's first generation in Redis."""
    return f"{STATE}r:{generation_key(run.pk, 1)}"


def add(rig: Rig, run: Run, data: bytes, number: int | None = None) -> int:
    """Write an entry to the journal in Redis; its number."""
    if number is None:
        number = int(rig.store.wire.call("HINCRBY", key_of(run), "n", 1))
    fields = ("r", run.pk, "g", 1, "n", number, "e", data)
    rig.store.wire.call("XADD", f"{STATE}j", "*", *fields)
    return number


def verify(capsys: Any, *args: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code of `journal verify --json`, and its lines."""
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "verify", "--json", *args)
    code = ended.value.code
    assert isinstance(code, int)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def ran(rig: Rig, flow: Any = None) -> Run:
    run = rig.launch(flow or seq(step(), step()))
    rig.work_off(steps=1)
    Archiver(rig.store).turn()
    run.refresh_from_db()
    return run


def test_an_entry_is_kept_as_the_bytes_that_it_was(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    odd = (
        '{ "w":"x" ,"e":[["raised","/x","E","\\u0000 \\u00e4 ä"]],"a":"0","a":"0.k1.2"}'
    )
    number = add(rig, run, odd.encode())
    rig.work_off()
    written = [one.data for one in rig.store.journal("0", 1000) if one.run == run.pk]
    Archiver(rig.store).turn()
    kept = RunEvent.objects.filter(run=run).order_by("number")
    assert [bytes(row.data) for row in kept] == written
    row = kept.get(number=number)
    assert (row.addr, bytes(row.data)) == ("0.k1.2", odd.encode())
    assert row.events() == [(f"{number}.1", ["raised", "/x", "E", "\0 ä ä"])]


def test_one_lanes_entries_are_found_by_their_address(rig: Rig) -> None:
    run = ran(rig, WIDE)
    lanes = {row.addr for row in run.events.all() if row.addr.count(".") == 2}
    lane = sorted(lanes)[1]
    found = list(run_entries(run.pk, 1, [lane]))
    assert found
    assert {orjson.loads(one.data)["a"] for one in found} == {lane}
    whole = list(run_entries(run.pk, 1))
    assert [one.number for one in whole] == list(range(1, run.journal_number + 1))
    after = list(run_entries(run.pk, 1, after=whole[3].number))
    assert after == whole[4:]


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_the_hashes_go_on_from_batch_to_batch(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, batch: int, capsys: Any
) -> None:
    monkeypatch.setattr(archive_module, "BATCH", batch)
    runs = [rig.launch(WIDE), rig.launch(seq(step()))]
    for most in (3, 4, 1_000_000):
        rig.work_off(most=most, steps=1)
        while Archiver(rig.store).turn():
            pass
    code, reports = verify(capsys)
    assert code == 0
    assert [one["run"] for one in reports] == sorted(run.pk for run in runs)
    for run, report in zip(sorted(runs, key=lambda r: r.pk), reports, strict=True):
        run.refresh_from_db()
        assert report["entries"] == run.journal_number == run.archived_number > 2
        assert report["hash"] == bytes(run.journal_hash).hex()
        assert (report["gaps"], report["unreplayable"]) == ([], "")


def test_verify_names_what_is_wrong_and_exits_with_1(rig: Rig, capsys: Any) -> None:
    good, run = ran(rig), ran(rig)
    rows = list(RunEvent.objects.filter(run=run))
    second = next(row for row in rows if row.number == 2)
    RunEvent.objects.filter(pk=second.pk).update(data=bytes(second.data) + b" ")
    code, [found] = verify(capsys, run.pk)
    assert (code, found["ok"]) == (1, False)
    assert [(f["number"], f["kind"]) for f in found["faults"]] == [(2, "changed")]

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE blueprints_runevent SET data = 'text' WHERE run_id = %s",
                [run.pk],
            )
        assert verify(capsys, run.pk)[1][0]["faults"][0]["number"] == 1
        RunEvent.objects.filter(run=run).delete()
        RunEvent.objects.bulk_create(rows)
    second.save()
    assert verify(capsys, run.pk)[0] == 0
    RunEvent.objects.filter(pk=second.pk).update(generation=7)
    told = verify(capsys, run.pk)[1][0]["faults"]
    assert [(f["generation"], f["kind"]) for f in told] == [
        (7, "order"),
        (1, "missing"),
    ]
    RunEvent.objects.filter(pk=second.pk).update(generation=1, addr="0.k1.1")
    assert verify(capsys, run.pk)[1][0]["faults"][0]["kind"] == "column"
    second.delete()
    code, reports = verify(capsys)
    assert code == 1
    assert {one["run"]: one["ok"] for one in reports} == {good.pk: True, run.pk: False}
    with pytest.raises(SystemExit):
        call_command("journal", "verify", run.pk)
    said = capsys.readouterr().out
    assert f"{run.pk} generation 1 entry 2: missing: entry 2 can't be found" in said


def test_an_entry_that_is_set_aside_leaves_a_gap_and_no_replay(
    rig: Rig, capsys: Any
) -> None:
    run = rig.launch(seq(step()))
    number = add(rig, run, b"{")
    archiver = Archiver(rig.store)
    archiver.turn()
    rig.work_off()
    archiver.turn()
    run.refresh_from_db()
    assert run.status == "done"
    assert run.unreplayable.startswith(f"entry {number}: not JSON: ")
    gap = RunEvent.objects.get(run=run, number=number)
    assert (gap.kind, gap.kinds, gap.addr) == ("gap", " gap ", "0")
    code, [report] = verify(capsys, run.pk)
    assert (code, report["faults"]) == (0, [])
    [told] = report["gaps"]
    assert (told["number"], told["upto"]) == (number, number)
    assert told["text"].startswith("not JSON: ")
    call_command("runs", "show", run.pk)
    assert f"no replay: entry {number}: not JSON: " in capsys.readouterr().out
    call_command("runs", "show", run.pk, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["unreplayable"] == run.unreplayable

    gap.delete()
    code, [report] = verify(capsys, run.pk)
    assert (code, report["faults"][0]["kind"]) == (1, "missing")


def test_a_run_of_missing_entries_is_one_gap(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    rig.store.wire.call("HINCRBY", key_of(run), "n", 1_000_000)
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    [gap] = RunEvent.objects.filter(run=run, kind="gap")
    report = journal_check(run)
    assert (report.faults, report.gaps[0]["upto"]) == ([], gap.number + 999_999)
    assert run.unreplayable == (
        f"entries up to {gap.number + 999_999}: they were not in the journal, or could"
        " not be read"
    )


def test_a_last_entry_that_is_replaced_is_a_gap_too(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    rig.work_off()
    [*_, last] = rig.store.journal("0", 1000)
    rig.store.wire.call("XDEL", f"{STATE}j", last.id)
    add(rig, run, b"{", last.number)
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run.status == "done"
    assert run.unreplayable.startswith(f"entry {last.number}: not JSON")
    row = RunEvent.objects.get(run=run, number=last.number)
    assert row.kinds == " gap run_done "
    assert journal_check(run).faults == []


def test_entries_that_differ_from_those_archived_make_the_run_unreplayable(
    rig: Rig,
) -> None:
    run = rig.launch(seq(step()))
    rig.work_off(most=1, steps=1)
    archiver = Archiver(rig.store)
    archiver.turn()
    run.refresh_from_db()
    assert run.unreplayable == ""
    add(rig, run, b'{"e":[["checkpoint","/other"]]}', 1)
    archiver.turn()
    run.refresh_from_db()
    assert run.unreplayable == "Redis went back to a time before entry 1 was archived"
    assert journal_check(run).faults == []


def test_an_end_under_a_number_that_is_taken_gets_the_next_one(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    archiver = Archiver(rig.store)
    for _ in range(9):
        add(rig, run, b'{"e":[["checkpoint","/x"]]}')
    archiver.turn()
    # Redis is taken back, and ends the run under a number that the archive has.
    rig.store.wire.call("HSET", key_of(run), "n", 1)
    rig.store.finish(run.pk, 1, "cancelled", "no longer wanted")
    archiver.turn()
    run.refresh_from_db()
    assert (run.status, run.journal_number) == ("cancelled", 11)
    assert "Redis went back" in run.unreplayable
    assert RunEvent.objects.get(run=run, number=11).kinds == " gap run_cancelled "
    assert journal_check(run).faults == []
    assert rig.store.head(run.pk) is None


def test_entries_after_the_end_are_part_of_the_journal(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    rig.work_off()
    number = int(rig.store.wire.call("HINCRBY", key_of(run), "n", 1))
    archiver = Archiver(rig.store)
    archiver.turn()
    add(rig, run, b'{"e":[["checkpoint","/x"]]}', number)
    archiver.turn()
    run.refresh_from_db()
    assert (run.status, run.journal_number) == ("done", number)
    assert journal_check(run).to_json()["ok"]


def test_verify_of_nothing_is_fine_and_of_an_unknown_run_is_refused(
    capsys: Any,
) -> None:
    assert verify(capsys) == (0, [])
    with pytest.raises(Exception, match="no run begins with R-nothing"):
        call_command("journal", "verify", "nothing")


def test_many_faults_are_counted_and_the_first_of_them_listed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("blueprints.selectors.journal.MOST_SHOWN", 2)
    run = ran(rig)
    RunEvent.objects.update(addr="0.k9.9")
    code, [report] = verify(capsys, run.pk)
    assert (code, report["faulty"]) == (1, run.journal_number)
    assert [fault["number"] for fault in report["faults"]] == [1, 2]
    with pytest.raises(SystemExit):
        call_command("journal", "verify")
    said = capsys.readouterr().out
    assert f"{run.journal_number} faults, of which the first are shown" in said
