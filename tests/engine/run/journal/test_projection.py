"""The projection: facts from a journal about the run, its steps and its attempts."""

from typing import Any

import pytest

from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.run.journal.entries import FIELDS, LARGEST_NUMBER, LAST_MS, Content
from engine.run.journal.projection import (
    LOST,
    AttemptFacts,
    FanoutFacts,
    OutputFacts,
    RunFacts,
    RunProjection,
    StepFacts,
    agents_at,
    time_of,
)
from engine.run.states import RunStatus

STEP = {
    "kind": "step", "ref": "grade", "in": {"op": "lit", "value": 1},
    "out": {"op": "path", "at": "$.x"},
}  # fmt: skip
LANES = {
    "kind": "fanout", "items": {"op": "lit", "value": [1]},
    "bind": {"op": "path", "at": "$.i"}, "join": "all",
    "out": {"op": "path", "at": "$.o"},
    "body": {"kind": "seq", "children": [STEP, STEP]},
}  # fmt: skip
PROGRAM = Program(
    "b",
    {"kind": "seq", "children": [LANES, STEP]},
    {"grade": Agent("grade", "python_fn", "swarm.python_fn", None)},
)
LOG = {"type": "log", "text": "hello"}


def known(status: str = RunStatus.RUNNING, **columns: Any) -> RunProjection:
    return RunProjection(RunFacts("R-1", 1, status, **columns), PROGRAM)


def projected(*entries: tuple[int, list[Any]], run: RunProjection | None = None) -> Any:
    run = run or known()
    for at_ms, events in entries:
        run.apply(at_ms, Content(events, "w1"))
    return run


def test_a_step_is_pending_then_runs_then_has_ended():
    run = projected((1000, [["pending", "/a", "grade"]]))
    assert run.steps == {"/a": StepFacts("/a", "grade", "python_fn")}
    run = projected((2000, [["started", "/a", 1]]), run=run)
    assert run.steps["/a"].status == "running"
    run = projected((2500, [["passed", "/a", 1, "grade", 7]]), run=run)
    times = {"started_at": time_of(2000), "finished_at": time_of(2500)}
    assert run.steps["/a"] == StepFacts(
        "/a", "grade", "python_fn", "passed", 1, **times
    )
    assert run.attempts == {
        ("/a", 1): AttemptFacts("/a", 1, "passed", **times, worker="w1")
    }


def test_an_attempt_that_is_tried_again_has_ended_but_its_step_has_not():
    run = projected(
        (1000, [["started", "/a", 1]]),
        (1100, [["retry", "/a", 1, "grade", "no luck", 50, "timed_out"]]),
        (1200, [["started", "/a", 2]]),
        (1300, [["lost", "/a", 2, 1], ["lost", "/join", 1, 1]]),
        (1400, [["started", "/a", 3]]),
        (1500, [["failed", "/a", 3, "grade", "worse"], ["stats", "/a", 3, {"n": 1}]]),
    )
    ends = [(a.status, a.error, a.finished_at, a.stats) for a in run.attempts.values()]
    assert ends == [
        ("timed_out", "no luck", time_of(1100), None),
        ("lost", LOST, time_of(1300), None),
        ("failed", "worse", time_of(1500), {"n": 1}),
    ]
    [step] = run.steps.values()
    assert (step.status, step.attempts, step.started_at) == ("failed", 3, time_of(1000))


def test_what_an_entry_changes_is_returned_once_as_it_is_then():
    run = projected(
        (1000, [["opened", "/f", "race", 2], ["pending", "/f/lane[0]", "grade"]])
    )
    changed = run.apply(
        2000,
        Content(
            [
                ["started", "/f/lane[0]", 1],
                ["output", "/f/lane[0]", 1, 1, [LOG]],
                ["passed", "/f/lane[1]", 1, "grade", 0],
                ["joined", "/f", 1],
                ["run_done"],
            ]
        ),
    )
    assert {type(fact): changed.count(fact) for fact in changed} == dict.fromkeys(
        (StepFacts, AttemptFacts, OutputFacts, FanoutFacts, RunFacts), 1
    )
    steps = {fact.place: fact.status for fact in changed if isinstance(fact, StepFacts)}
    assert steps == {"/f/lane[0]": "cancelled", "/f/lane[1]": "passed"}
    assert OutputFacts("/f/lane[0]", 1, 1, [LOG]) in changed
    assert FanoutFacts("/f", 0, time_of(2000), 1) in changed
    assert run.attempts["/f/lane[0]", 1].status == "cancelled"
    assert run.apply(3000, Content([["checkpoint", "/"]])) == []


def test_a_lane_of_a_batch_begins_with_its_output_or_its_end():
    lane = "/children/0/lane[3]/children/0"
    assert agents_at(PROGRAM) == dict.fromkeys(
        ("/children/0/children/0", "/children/0/children/1", "/children/1"), "grade"
    )
    run = projected((2000, [["output", lane, 1, 1, [LOG]]]))
    assert run.steps[lane] == StepFacts(
        lane, "grade", "python_fn", "running", 1, time_of(2000)
    )
    run = projected((2100, [["passed", lane, 1, "grade", 1, 1250]]), run=run)
    assert run.steps[lane].started_at == run.attempts[lane, 1].started_at
    assert run.steps[lane].started_at == time_of(850)


def test_output_starts_no_step_that_has_ended():
    run = known()
    run.restore(StepFacts("/a", "grade", "python_fn", "passed", 2))
    assert run.apply(1000, Content([["output", "/a", 2, 9, [LOG]]])) == [
        OutputFacts("/a", 2, 9, [LOG])
    ]


def test_lanes_that_a_lane_has_cut_off_are_cancelled_and_no_others():
    run = projected(
        (1000, [["started", f"{place}", 1] for place in ("/f/lane[0]", "/fine", "/f")]),
        (2000, [["joined", "/f", -1]]),
    )
    assert {step.status for step in run.steps.values()} == {"running"}
    run = projected((3000, [["joined", "/f", 2]]), run=run)
    cut_off = run.steps.pop("/f/lane[0]")
    assert (cut_off.status, cut_off.finished_at) == ("cancelled", time_of(3000))
    assert {step.status for step in run.steps.values()} == {"running"}


def test_an_end_cancels_what_is_open_with_its_attempt():
    run = projected(
        (1000, [["pending", "/a", "grade"], ["started", "/b", 1]]),
        (1500, [["retry", "/c", 1, "grade", "no", 0, "failed"]]),
        (2000, [["run_cancelled", "enough"]]),
    )
    assert {(s.status, s.finished_at) for s in run.steps.values()} == {
        ("cancelled", time_of(2000))
    }
    ends = {place: a.status for (place, _), a in run.attempts.items()}
    assert ends == {"/b": "cancelled", "/c": "failed"}
    assert run.run.error == {"kind": "Cancelled", "text": "enough"}


def test_a_run_that_is_over_is_not_opened_again_but_what_has_ended_counts():
    run = projected(
        (1000, [["run_started", "p", 1]]),
        (1100, [["pending", "/a", "grade"], ["started", "/a", 1]]),
        (1200, [["passed", "/b", 1, "grade", 0], ["stats", "/b", 1, {"n": 1}]]),
        (1300, [["run_resumed"], ["started", "/c", 1]]),
        (5000, [["run_done"]]),
        run=known(RunStatus.CANCELLED, finished_at=time_of(2000)),
    )
    assert (run.run.status, run.run.finished_at) == ("cancelled", time_of(2000))
    assert (run.steps["/a"].status, run.steps["/b"].status) == ("cancelled", "passed")
    assert run.steps["/a"].finished_at == time_of(2000)
    assert run.attempts["/a", 1].finished_at == time_of(2000)
    assert run.attempts["/b", 1].stats == {"n": 1}


@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        (["run_done"], "done", None),
        (["run_failed", "K", "why"], "failed", {"kind": "K", "text": "why"}),
        (["run_failed", "why"], "failed", {"kind": "Failed", "text": "why"}),
        (["run_cancelled", "why"], "cancelled", {"kind": "Cancelled", "text": "why"}),
    ],
)
def test_a_run_ends_once(event: list[Any], status: str, error: Any):
    run = projected((1000, [event]), (2000, [["run_failed", "K", "again"]]))
    assert run.run == RunFacts("R-1", 1, status, None, time_of(1000), error)
    assert run.is_over


def test_a_run_moves_as_its_states_allow():
    run = projected((1000, [["run_started", "p", 1]]), run=known(RunStatus.PENDING))
    assert run.run == RunFacts("R-1", 1, "running", time_of(1000))
    run = projected((2000, [["run_paused"]]), run=run)
    assert (run.run.status, run.run.started_at) == ("paused", time_of(1000))
    run = projected((3000, [["run_resumed"]]), run=run)
    assert run.run.status == "running"


LEAST = {"events": [], "stats": {}, "value": None}
NUMBERS = {"attempt", "first", "hi", "lane", "lo", "lost", "size"}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("most", [False, True])
def test_whatever_passes_the_check_of_an_entry_can_be_applied(kind: str, most: bool):
    def value(name: str) -> Any:
        if name in NUMBERS:
            return LARGEST_NUMBER if most else -1
        return (LAST_MS if most else -1) if name[-3:] == "_ms" else LEAST.get(name, "")

    event = [kind, *map(value, FIELDS[kind])]
    for run in (known(), known(RunStatus.DONE), RunProjection(known().run)):
        for at_ms in (0, LAST_MS):
            run.apply(at_ms, Content([event, event]))
