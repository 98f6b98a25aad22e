"""A malformed entry of the journal stops neither the archive nor a follower."""

import logging
from typing import Any

import pytest
from flow_documents import seq
from rig import Rig, program, step

from blueprints.models import Run
from engine.store.dead_letters import BURIED, counts
from engine.store.redis import STATE
from workers.archive.archiver import Archiver
from workers.terminal.run_progress import RunProgress

pytestmark = pytest.mark.django_db

FINE = b'{"e":[["checkpoint","/x"]]}'
DATA: dict[str, bytes] = {
    "no JSON": b"{", "nothing": b"", "no UTF-8": b'{"e":[["checkpoint","\xff"]]}',
    "no object": b"[]", "a number": b"7", "null": b"null", "no events": b"{}",
    "events an object": b'{"e":{}}', "event a text": b'{"e":["checkpoint"]}',
    "event empty": b'{"e":[[]]}', "kind a list": b'{"e":[[["x"],1]]}',
    "kind null": b'{"e":[[null]]}', "kind unknown": b'{"e":[["exploded","/x"]]}',
    "kind an object": b'{"e":[[{"a":1},1]]}', "no place": b'{"e":[["pending"]]}',
    "place a list": b'{"e":[["pending",["/x"],"a"]]}',
    "place an object": b'{"e":[["started",{"a":1},1]]}',
    "attempt a text": b'{"e":[["started","/x","1"]]}',
    "attempt huge": b'{"e":[["started","/x",99999999999999999999]]}',
    "attempt beyond": b'{"e":[["started","/x",9223372036854775807]]}',
    "agent a number": b'{"e":[["pending","/x",7]]}',
    "lane a text": b'{"e":[["joined","/x","all"]]}',
    "text null": b'{"e":[["failed","/x",1,"a",null]]}',
    "retry short": b'{"e":[["retry","/x",1,"a"]]}',
    "output a text": b'{"e":[["output","/x",1,1,"said"]]}',
    "output of nothing": b'{"e":[["output","/x",1,1,[{}]]]}',
    "output without text": b'{"e":[["output","/x",1,1,[{"type":"log"}]]]}',
    "output a number": b'{"e":[["output","/x",1,1,[7]]]}',
    "final bare": b'{"e":[["output","/x",1,1,[{"type":"final","content":1}]]]}',
    "stats a list": b'{"e":[["stats","/x",1,[1]]]}',
    "worker a list": b'{"w":[1],"e":[]}', "gap": b'{"e":[["gap",7,"x"]]}',
    "address a number": b'{"a":7,"e":[]}', "address odd": b'{"a":"0\\n","e":[]}',
    "address long": b'{"a":"%b","e":[]}' % (b"0" * 2001), "deep": b"[" * 5000 + b"]" * 5000,
    "deep kind": b'{"e":[' + b"[" * 990 + b"]" * 990 + b"]}",
    "deep place": b'{"e":[["checkpoint",' + b"[" * 990 + b"]" * 990 + b"]]}",
    "half a character": b'{"e":[["checkpoint","\\ud800"]]}',
}  # fmt: skip
FIELDS: dict[str, dict[str, Any]] = {
    "no run": {"g": 1, "n": 900, "e": FINE}, "no content": {"r": "R", "g": 1, "n": 900},
    "others": {"a": "b"}, "gen a text": {"r": "R", "g": "x", "n": 1, "e": FINE},
    "number a text": {"r": "R", "g": 1, "n": "x", "e": FINE},
    "number huge": {"r": "R", "g": 1, "n": 10**30, "e": FINE},
    "number negative": {"r": "R", "g": 1, "n": -1, "e": FINE},
    "run no UTF-8": {"r": b"\xff", "g": 1, "n": 1, "e": FINE},
    "run empty": {"r": "", "g": 1, "n": 1, "e": FINE},
}  # fmt: skip


def bad_entries(run: str) -> dict[str, list[Any]]:
    """Return the fields of each bad entry, of this run where they name one."""
    made = {
        name: ["r", run, "g", 1, "n", 900 + at, "e", data]
        for at, (name, data) in enumerate(DATA.items())
    }
    for name, fields in FIELDS.items():
        mine = fields | ({"r": run} if fields.get("r") == "R" else {})
        made[name] = [part for pair in mine.items() for part in pair]
    return made


def test_whatever_is_in_the_journal_the_archive_continues(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rig.launch(seq(step())), rig.launch(seq(step()))
    bad = bad_entries(first.pk)
    for fields in bad.values():
        rig.store.wire.call("XADD", f"{STATE}j", "*", *fields)
    rig.work_off()
    with caplog.at_level(logging.ERROR, logger="workers.archive.archiver"):
        archiver = Archiver(rig.store)
        archiver.turn()
        archiver.turn()

    ended = Run.objects.filter(pk__in=(first.pk, second.pk))
    assert {run.status for run in ended} == {"done"}
    assert counts(rig.store.wire.call("HGETALL", BURIED)) == {"journal": len(bad)}
    letters = rig.store.dead_letters()
    assert len(letters) == len(bad)
    assert all(letter.why.isascii() and letter.why for letter in letters)
    assert len(caplog.records) == len(bad)
    assert rig.store.journal(rig.store.archived(), 10) == []


def test_who_follows_a_run_passes_over_what_is_no_entry(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    for fields in bad_entries(run.pk).values():
        rig.store.wire.call("XADD", f"{STATE}j", "*", *fields)
    rig.work_off()
    progress = RunProgress(run.pk, program(seq(step())))
    for entry in rig.store.journal("0", 1000):
        if entry.run == run.pk:
            progress.apply(entry)
    assert progress.ended == "done"


def test_the_reason_of_an_end_is_always_json(rig: Rig) -> None:
    run = rig.launch(seq(step()))
    rig.store.finish(
        run.pk, 1, "cancelled", 'tab\t, "quote", \x1b[2J, half \ud800\nline'
    )
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert run.error["text"].startswith('tab\t, "quote", ')


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_a_run_whose_last_entry_is_set_aside_ends_and_its_keys_go_away(
    rig: Rig, status: str
) -> None:
    run = rig.launch(seq(step()))
    if status == "done":
        rig.work_off()
    else:
        rig.store.finish(run.pk, 1, status, "why")
    rig.spoil_last(run.pk, b"{")
    Archiver(rig.store).turn()
    run.refresh_from_db()
    assert run.status == status
    assert (run.error is None) == (status == "done")
    assert rig.store.head(run.pk) is None
    assert counts(rig.store.wire.call("HGETALL", BURIED)) == {"journal": 1}


def test_what_is_reported_or_set_aside_after_an_end_does_not_keep_the_keys(
    rig: Rig,
) -> None:
    for content in (b'{"e":[["run_resumed"]]}', b"{"):
        run = rig.launch(seq(step()))
        rig.work_off()
        number = rig.store.wire.call("HINCRBY", f"{STATE}r:{run.pk}:1", "n", 1)
        archiver = Archiver(rig.store)
        archiver.turn()
        run.refresh_from_db()
        assert run.status == "done"
        assert rig.store.head(run.pk) is not None
        fields = ("r", run.pk, "g", 1, "n", number, "e", content)
        rig.store.wire.call("XADD", f"{STATE}j", "*", *fields)
        archiver.turn()
        assert rig.store.head(run.pk) is None
