"""Output events of agents, read back from the archived journal."""

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from blueprints.models import Program, Run, RunEvent, Step, Task
from blueprints.selectors.outputs import (
    log_text,
    run_log,
    run_outputs,
    step_outputs,
)
from blueprints.selectors.runs import run_report
from engine.run.journal.entries import pack_entry
from engine.run.journal.outputs import (
    Artifact,
    Final,
    Log,
    OutputEvent,
    Progress,
    to_wire,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    task = Task.objects.create(blueprint_id="b")
    program = Program.objects.create(id="p", document={})
    return Run.objects.create(task=task, program=program, ctx={})


def journal(run: Run, *entries: list[Any], generation: int = 1) -> None:
    """Archive entries of a run."""
    for events in entries:
        number = run.events.count() + 1
        RunEvent.objects.create(
            run=run,
            generation=generation,
            number=number,
            at=timezone.now(),
            kind=events[0][0],
            data=pack_entry("0", 1, "w", events),
            says=any(event[0] == "output" for event in events),
        )


def emitted(
    place: str, *events: OutputEvent, attempt: int = 1, first: int = 1
) -> list[Any]:
    return ["output", place, attempt, first, [to_wire(event) for event in events]]


def test_outputs_come_in_order(run: Run) -> None:
    journal(
        run,
        [["started", "/a", 1]],
        [emitted("/a", Progress("one"))],
        [
            emitted("/a", Log("x"), Log("y"), first=2),
            ["passed", "/a", 1, "g", '"output"'],
            emitted("/a/b", Log("z")),
        ],
    )
    found = [(s.place, s.wire["type"]) for s in run_outputs(run)]
    assert found == [("/a", "progress"), ("/a", "log"), ("/a", "log"), ("/a/b", "log")]


def test_only_events_with_content_are_read(
    run: Run, django_assert_num_queries: Any
) -> None:
    journal(run, *([["passed", "/a", 1, "g", '"output"']] for _ in range(5)))
    journal(run, [emitted("/a", Log("x"))])
    with django_assert_num_queries(1) as queries:
        assert [s.wire["text"] for s in run_outputs(run)] == ["x"]
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        cursor.execute(explain + queries.captured_queries[0]["sql"])
        plan = str(cursor.fetchall())
    if connection.vendor == "sqlite":
        assert "event_that_says" in plan


def test_what_can_not_be_read_is_left_out(run: Run) -> None:
    journal(run, [emitted("/a", Log("x"))], [emitted("/a", Log("y"), first=2)])
    first = RunEvent.objects.filter(number=1)
    deep = b"[" * 2000 + b"]" * 2000
    for bad in (deep, b"", b"{", b"7", b"{}", b'{"e":7}', b'{"a":1,"e":[]}', b"\xff"):
        first.update(data=bad)
        assert [s.wire["text"] for s in run_outputs(run)] == ["y"]
        assert first.get().events() == []


def test_another_run_or_generation_is_not_reported(run: Run) -> None:
    other = Run.objects.create(task=run.task, program=run.program, ctx={})
    journal(other, [emitted("/a", Log("other"))])
    journal(run, [emitted("/a", Log("old"))], generation=7)
    assert list(run_outputs(run)) == []


def test_the_latest_progress_is_in_the_report(run: Run) -> None:
    for place in ("/a", "/b"):
        Step.objects.create(run=run, generation=1, place=place, agent="g", kind="k")
    journal(
        run,
        [emitted("/a", Progress("read", "1"), Log("x"))],
        [emitted("/a", Progress("read", "2"), first=3)],
    )
    assert {p: (s.stage, s.note) for p, s in step_outputs(run).items()} == {
        "/a": ("read", "2")
    }
    stages = [(step["stage"], step["note"]) for step in run_report(run)["steps"]]
    assert stages == [("read", "2"), ("", "")]


def test_the_newest_log_lines_and_how_many_there_are(run: Run) -> None:
    journal(run, *([emitted("/a", Log(str(n)))] for n in range(30)))
    journal(run, [["output", "/a", 1, 31, [{"type": "truncated", "why": "too much"}]]])
    lines, total = run_log(run, newest=3)
    assert total == 31
    assert [log_text(s) for s in lines] == [
        "28",
        "29",
        "(output truncated: too much)",
    ]


def test_the_parts_are_those_of_the_latest_attempt(run: Run) -> None:
    journal(
        run,
        [emitted("/a", Artifact("draft", 1), Artifact("plan", 1))],
        [emitted("/a", Artifact("plan", 2), Artifact("plan", 3), attempt=2)],
    )
    [emitted_a] = step_outputs(run).values()
    assert emitted_a.parts == {"plan": {"kind": "inline", "value": 3}}


def test_the_report_has_parts_and_who_wrote_the_last_final(run: Run) -> None:
    for place in ("/a", "/b"):
        Step.objects.create(run=run, generation=1, place=place, agent="g", kind="k")
    emitted_a = (Artifact("plan", 1), Final("x", by="g"), Final("y", by="critic"))
    journal(run, [emitted("/a", *emitted_a)])
    made = run_report(run)["steps"]
    assert [(step["parts"], step["final_by"]) for step in made] == [
        ({"plan": {"kind": "inline", "value": 1}}, "critic"),
        ({}, ""),
    ]
