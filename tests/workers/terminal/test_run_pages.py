"""The pages of `runs show`, drawn at two widths and kept as screens."""

from __future__ import annotations

from typing import Any

import pytest
from screens import same_screen

from engine.flow.parser import read_node
from engine.run.place_names import PlaceNames
from workers.terminal.run_pages import (
    LogTexts,
    error_lines,
    run_page,
    step_page,
    steps_page,
)
from workers.terminal.run_rows import folded

RUN = "R-019400000000700080000000000000ab"
FLOW: Any = {
    "kind": "seq",
    "children": [
        {"kind": "step", "name": "list", "ref": "fetch", "in": {"op": "lit", "value": 1},
         "out": {"op": "path", "at": "$.rows"}},
        {"kind": "fanout", "items": {"op": "path", "at": "$.rows"},
         "bind": {"op": "path", "at": "$.row"}, "join": "all",
         "out": {"op": "path", "at": "$.out"}, "select": {"op": "path", "at": "$.row"},
         "body": {"kind": "step", "name": "classify", "ref": "classifier",
                  "in": {"op": "path", "at": "$.row"},
                  "out": {"op": "path", "at": "$.row"}}},
        {"kind": "loop", "counter": {"op": "path", "at": "$.i"}, "max": 30,
         "cond": {"op": "lit", "value": True},
         "body": {"kind": "step", "ref": "judge", "in": {"op": "lit", "value": 1},
                  "out": {"op": "path", "at": "$.x"}}},
    ],
}  # fmt: skip
NAMES = PlaceNames(read_node(FLOW, "swarm"))
LANES = 1000


def a_step(place: str, agent: str, status: str = "passed", **more: Any) -> Any:
    return {
        "name": NAMES.name(place), "place": place, "agent": agent, "kind": "python_fn",
        "status": status, "attempts": 1, "started_at": "2026-01-02T03:04:05+00:00",
        "seconds": 0.012, "error": "", "stage": "", "note": "", "parts": {},
        "final_by": "", **more,
    }  # fmt: skip


def steps() -> list[Any]:
    """Return the steps of a run whose lane 800 has failed and whose lane 801 is lost."""
    fail = {"status": "failed", "attempts": 2, "error": "KeyError: 'text'\nin the row"}
    ends = {
        800: fail,
        801: {"status": "lost", "error": "lost after 4 attempts, " + "how " * 40},
        802: {"status": "cancelled", "seconds": None},
    }
    lanes = [
        a_step(f"/children/1/lane[{n}]", "classifier", **ends.get(n, {}))
        for n in range(LANES)
    ]
    plan = {"kind": "inline", "value": {"rows": [1, 2, 3]}}
    first = a_step("/children/0", "fetch", seconds=1.25, parts={"plan.md": plan})
    loops = [a_step(f"/children/2/body[{n}]", "judge") for n in range(3)]
    open_ = {"status": "running", "seconds": None, "stage": "read", "note": "2/3"}
    return [first, *lanes, *loops, a_step("/children/2/body[3]", "judge", **open_)]


def report(**more: Any) -> Any:
    error = {
        "kind": "DispatcherError",
        "text": "dispatcher error for ref 'classifier': KeyError: 'text'",
        "place": "/children/1/lane[800]",
        "name": "classify[lane 800]",
        "ctx": '$.row = {"id":800}',
    }
    return {
        "run": RUN, "blueprint": "essay", "status": "failed", "seconds": 75.2,
        "ctx": {"rows": list(range(5000)), "topic": "x" * 30}, "ctx_output": None, "error": error,
        "usage": {"input": 12, "output": 3}, "unreplayable": "", "steps": steps(), **more,
    }  # fmt: skip


LOG = [
    {"at": "2026-01-02T03:04:05.6+00:00", "name": "list", "text": "5000 rows"},
    {"at": "2026-01-02T03:04:06.6+00:00", "name": "classify[lane 800]",
     "text": "raised at agents.py:12 in classify\n" + "and on " * 30},
]  # fmt: skip


@pytest.mark.parametrize("width", [60, 100])
def test_a_failed_run_has_its_failed_steps_first_and_its_lanes_on_one_line(
    width: int,
) -> None:
    lines = list(run_page(report(), LOG, 57, NAMES, width))
    same_screen("run-failed", width, lines)
    assert len(lines) < 80


def test_a_run_of_few_steps_lists_each_once() -> None:
    few = steps()[:1] + steps()[801:802]
    text = "\n".join(run_page(report(steps=few, ctx=None), [], 0, NAMES, 100))
    assert "failed (" not in text
    assert text.count("classify[lane 800]") == 3


def test_an_error_has_the_line_of_its_file_with_a_caret() -> None:
    source = {
        "file": "/shop/flows/essay.yaml", "line": 12, "column": 9,
        "row": "        - {kind: let, at: $.n, value: $.text + 1}", "row_column": 1,
    }  # fmt: skip
    error = {**report()["error"], "source": source}
    lines = list(error_lines(error, 60))
    assert lines[3:6] == [
        "  /shop/flows/essay.yaml:12:9",
        "      12 |         - {kind: let, at: $.n, value: $.text + 1}",
        "         |         ^",
    ]
    error["source"] = {**source, "column": 309, "row_column": 301}
    assert list(error_lines(error, 60))[3:6] == [
        "  /shop/flows/essay.yaml:12:309",
        *lines[4:6],
    ]
    error["source"] = {"file": "/shop/flow.yaml", "fault": "the file has changed"}
    assert "  in /shop/flow.yaml; the file has changed" in error_lines(error, 60)


def test_who_logged_stands_in_the_first_of_several_lines_only() -> None:
    lines = [("list", "a"), ("list", "b"), ("grade", "c"), ("list", "d")]
    log = [(who, {"at": "2026-01-02T03:04:05", "text": text}) for who, text in lines]
    texts, all_of_it = LogTexts(), LogTexts(repeat=True)
    assert [texts.of(line, who) for who, line in log] == [
        "03:04:05  list  a",
        "03:04:05        b",
        "03:04:05  grade  c",
        "03:04:05  list  d",
    ]
    assert [all_of_it.of(line, who) for who, line in log][1] == "03:04:05  list  b"


def attempt(number: int, **more: Any) -> Any:
    return {
        "number": number, "status": "retry", "started_at": None, "seconds": 0.012,
        "worker": "host:17", "error": "KeyError: 'text'", "stats": None,
        "input": {"id": 800, "words": ["a"] * 3}, "input_size": 40,
        "traceback": 'Traceback (most recent call last):\n  File "agents.py", line 12\n',
        "output": None, **more,
    }  # fmt: skip


def a_report(*attempts: Any, **more: Any) -> Any:
    return {
        "run": RUN, "name": "classify[lane 800]", "place": "/children/1/lane[800]",
        "step_id": "ST-" + "a" * 32, "agent": "classifier", "kind": "python_fn",
        "status": "failed", "seconds": 2.5, "attempts": list(attempts),
        "ctx_before": {"rows": [1, 2]}, "ctx_after": {"rows": [1, 2]}, "missing": {},
        "log": [{"at": "2026-01-02T03:04:06.6+00:00", "attempt": 2, "text": "well"}],
        **more,
    }  # fmt: skip


@pytest.mark.parametrize("width", [60, 100])
def test_a_failed_step_shows_input_error_and_traceback_of_each_attempt(
    width: int,
) -> None:
    lost = attempt(3, status="lost", input=None, input_size=None, traceback="",
                   error="its worker died or lost its lease")  # fmt: skip
    large = attempt(4, status="failed", input='{"id":800,"text":"xx', input_size=70_000)
    page = a_report(attempt(1), attempt(2), lost, large)
    page["missing"] = {"input": "larger than SWARM_INPUT_LIMIT (100 bytes)"}
    same_screen("step-failed", width, list(step_page(page, width)))


@pytest.mark.parametrize("width", [60, 100])
def test_a_passed_step_shows_its_output_and_why_there_is_no_input(width: int) -> None:
    one = attempt(1, status="passed", error="", input=None, input_size=None,
                  traceback="", output={"label": "good"})  # fmt: skip
    why = dict.fromkeys(("input", "before", "after"), "its journal is not archived yet")
    report = a_report(one, status="passed", missing=why)
    same_screen("step-passed", width, list(step_page(report, width)))


@pytest.mark.parametrize("width", [60, 100])
def test_several_steps_of_one_name_are_a_list(width: int) -> None:
    found = steps()[801:804] + steps()[1:50]
    same_screen("steps", width, list(steps_page(found, RUN, width)))


def test_long_loops_are_one_row_and_short_ones_a_row_each() -> None:
    rows = folded([a_step(f"/children/2/body[{n}]", "judge") for n in range(9)], NAMES)
    assert [(row.name, row.words) for row in rows] == [
        ("/children/2/body[*]", "9 iterations: 9 passed")
    ]
    later = a_step("/children/2/body[1]", "judge", "running", seconds=None)
    rows = folded([a_step("/children/2/body[0]", "judge"), later], NAMES)
    assert [(row.status, row.seconds) for row in rows] == [
        ("passed", 0.012),
        ("running", None),
    ]


def test_a_row_takes_from_the_first_start_to_the_last_end() -> None:
    late = a_step("/children/1/lane[1]", "c", started_at="2026-01-02T03:04:08+00:00")
    (row,) = folded([a_step("/children/1/lane[0]", "c"), late], NAMES)
    assert row.seconds == pytest.approx(3.012)
    assert row.words == "2 lanes: 2 passed"
