"""A run as one file: what `runs export` writes, and what `journal verify --file` finds."""

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from flow_documents import seq
from rig import Rig, step

from blueprints.models import Run, RunEvent
from blueprints.services.run_generations import run_generation_open
from engine.blueprint import Program
from workers.archive.archiver import Archiver
from workers.runs.launch import start_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("runs", "journal"):
        monkeypatch.setattr(
            f"workers.management.commands.{module}.database_ready", lambda: None
        )


@pytest.fixture
def run(rig: Rig) -> Run:
    run = rig.launch(seq(step(), step()))
    rig.work_off(steps=1)
    Archiver(rig.store).turn()
    run.refresh_from_db()
    return run


@pytest.fixture
def file(run: Run, tmp_path: Path, capsys: Any) -> Path:
    path = tmp_path / "a run.jsonl"
    call_command("runs", "export", run.pk, "-o", str(path), "--json")
    told = json.loads(capsys.readouterr().out)
    size = path.stat().st_size
    assert told == {"run": run.pk, "file": str(path), "bytes": size}
    return path


def verify(path: Path, capsys: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "verify", "--file", str(path), "--json")
    assert isinstance(ended.value.code, int)
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_a_file_has_all_that_the_run_was(run: Run, file: Path, capsys: Any) -> None:
    first, *entries, last = map(orjson.loads, file.read_bytes().splitlines())
    assert first["run"] == run.pk
    [only] = first["generations"]
    assert (only["generation"], only["status"]) == (1, "done")
    assert (only["ctx"], only["result"]) == (run.ctx, run.result)
    [program] = first["programs"].values()
    assert Program.from_json(program).program_id == run.program_id
    rows = RunEvent.objects.order_by("number")
    assert [base64.b64decode(one["data"]) for one in entries] == [
        bytes(row.data) for row in rows
    ]
    assert last["end"]["entries"] == len(entries) == run.journal_number
    assert list(file.parent.iterdir()) == [file]
    code, report = verify(file, capsys)
    assert (code, report["ok"], report["hash"]) == (0, True, only["journal_hash"])


def test_whatever_is_changed_in_a_file_is_found(file: Path, capsys: Any) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    changed = lines[3].replace(b'"number":3', b'"number":4')
    spoiled: dict[str, list[bytes]] = {
        "no last line": lines[:-1],
        "no last entry": [*lines[:-2], lines[-1]],
        "no second entry": [*lines[:2], *lines[3:]],
        "entries in another order": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "another number": [*lines[:3], changed, *lines[4:]],
        "another status": [lines[0].replace(b'"done"', b'"fine"'), *lines[1:]],
        "another program": [lines[0].replace(b'"echo"', b'"ohce"'), *lines[1:]],
        "only a head": lines[:1],
    }
    for name, content in spoiled.items():
        file.write_bytes(b"".join(content))
        code, report = verify(file, capsys)
        assert (code, report["ok"]) == (1, False), name
    for at in range(1, len(lines) - 1):
        row = orjson.loads(lines[at])
        row["data"] = base64.b64encode(b"{}").decode()
        content = [*lines[:at], orjson.dumps(row) + b"\n", *lines[at + 1 :]]
        file.write_bytes(b"".join(content))
        code, report = verify(file, capsys)
        assert (code, report["faults"][0]["number"]) == (1, at)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[1]\n",
        b'{"swarm_run":1}\n',
        b"\xff\n",
        b'{"swarm_run":2}\n',
        b'{"swarm_run":1,"run":"R-1","generations":[]}\n',
    ],
)
def test_what_is_no_file_of_a_run_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="can't be checked") as refused:
        call_command("journal", "verify", "--file", str(path))
    assert refused.value.returncode == 2


def test_a_line_that_is_no_entry_is_refused_with_its_number(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], b'{"number":2}\n', *lines[3:]]))
    with pytest.raises(CommandError, match="line 3: not an entry of a journal"):
        call_command("journal", "verify", "--file", str(file))


def test_a_line_that_is_too_long_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueprints.run_file.LARGEST_LINE", 100)
    with pytest.raises(CommandError, match="a line is longer than 100 bytes"):
        call_command("journal", "verify", "--file", str(file))


def test_a_run_and_a_file_at_once_and_a_file_that_is_not_there_are_refused(
    run: Run, file: Path
) -> None:
    with pytest.raises(CommandError, match="a RUN or a --file, not both"):
        call_command("journal", "verify", run.pk, "--file", str(file))
    with pytest.raises(CommandError, match="No such file"):
        call_command("journal", "verify", "--file", str(file.with_name("none")))


def test_a_run_under_way_is_exported_as_far_as_it_is_archived(
    rig: Rig, tmp_path: Path, capsys: Any
) -> None:
    run = rig.launch(seq(step(), step()))
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    path = tmp_path / "x.jsonl"
    call_command("runs", "export", run.pk, "-o", str(path))
    assert f"run {run.pk} is in {path}" in capsys.readouterr().out
    assert verify(path, capsys)[0] == 0


def test_each_generation_has_a_journal_of_its_own(
    run: Run, rig: Rig, tmp_path: Path, capsys: Any
) -> None:
    rerun = run_generation_open(run, "again")
    assert (rerun.journal_number, bytes(rerun.journal_hash)) == (0, b"")
    start_run(rig.store, rerun)
    rig.work_off()
    Archiver(rig.store).turn()
    path = tmp_path / "x.jsonl"
    call_command("runs", "export", run.pk, "-o", str(path))
    capsys.readouterr()
    code, report = verify(path, capsys)
    assert (code, report["generations"], report["faults"]) == (0, 2, [])
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "verify", run.pk, "--json")
    assert ended.value.code == 0
    capsys.readouterr()
    # The end of the first one is known, too.
    last = RunEvent.objects.filter(run=run, generation=1).order_by("number").last()
    assert last is not None
    last.delete()
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "verify", run.pk, "--json")
    assert ended.value.code == 1
    [fault] = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["generation"], fault["number"]) == (1, last.number)
    with pytest.raises(SystemExit):
        call_command("runs", "delete", run.pk)
    assert not RunEvent.objects.exists()


def test_a_run_whose_program_can_not_be_read_is_not_exported(
    run: Run, tmp_path: Path
) -> None:
    run.program.document = {"format": 99}
    run.program.save()
    with pytest.raises(CommandError, match=f"run {run.pk} was not exported: "):
        call_command("runs", "export", run.pk, "-o", str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []
