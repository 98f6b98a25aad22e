"""Output events: when they reach the journal, their bounds, the parts of a result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import simulated_runs
from attempt_owner import Owner
from flow_documents import at, fanout, lit, seq, step
from random_programs import program, spawners
from waiting import until

from engine.ports import StepCall
from engine.run.attempt import emitter as emitter_module
from engine.run.attempt.emitter import MOST_PARTS, Emitter, Outlet
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.entries import FIELDS, Event, pack_entry
from engine.run.journal.outputs import (
    AS_EMITTED,
    Artifact,
    Final,
    Log,
    OutputEvent,
    Partial,
    Progress,
)
from engine.run.limits import Limits
from engine.testing import CALM, STORM, Chaos, Simulator
from workers.pytest_plugin import MakeSimulator

INC = step("inc", at("$.a"), "$.a")
Script = Callable[[StepCall], Any]
Ended = Callable[..., Simulator]


@pytest.fixture
def ended(swarm_simulator: MakeSimulator) -> Ended:
    """Return a function that runs a flow with an agent's script to its end."""

    def run(
        script: Script, flow: Any = INC, *, limits: Limits | None = None, **options: Any
    ) -> Simulator:
        agents = spawners(script)
        return simulated_runs.ended(
            swarm_simulator, flow, spawners=agents, limits=limits, **options
        )

    return run


def saying(*events: OutputEvent, answer: Any = "done") -> Script:
    """Return a script that emits and then answers."""

    def script(call: StepCall) -> Any:
        for event in events:
            call.emit(event)
        return answer

    return script


def named(event: Event) -> dict[str, Any]:
    """Return the fields of an event by name."""
    return {"kind": event[0]} | dict(zip(FIELDS[event[0]], event[1:], strict=False))


def outputs(made: Simulator) -> list[dict[str, Any]]:
    """Return what the journal has of output, numbered, in order."""
    found = []
    for event in map(named, made.events()):
        if event["kind"] == "output":
            for number, wire in enumerate(event["events"], event["first"]):
                found.append({"n": number, **wire})
    return found


def test_an_agent_that_emits_nothing_leaves_no_trace(
    ended: Ended,
) -> None:
    calls: list[Any] = []
    made = ended(lambda call: calls.append(call.emit))
    assert outputs(made) == []
    assert isinstance(calls[0], Emitter)
    assert calls[0].tail is None


def test_events_are_in_the_journal_in_the_wire_form(
    ended: Ended,
) -> None:
    made = ended(saying(Progress("read", "3 files"), Partial([1]), Log("hm")))
    assert outputs(made) == [
        {"n": 1, "type": "progress", "stage": "read", "note": "3 files"},
        {"n": 2, "type": "partial", "chunk": {"kind": "inline", "value": [1]}},
        {"n": 3, "type": "log", "text": "hm"},
    ]


def test_the_first_event_is_written_while_the_agent_works(
    swarm_simulator: MakeSimulator,
) -> None:
    seen: list[list[dict[str, Any]]] = []

    def script(call: StepCall) -> Any:
        call.emit(Progress("one"))
        seen.append(outputs(made))
        call.emit(Progress("two"))
        seen.append(outputs(made))
        return None

    made = swarm_simulator(spawners(script))
    made.launch(program(INC), {"a": 1})
    made.run()
    assert [[e["stage"] for e in at_once] for at_once in seen] == [["one"], ["one"]]
    assert [e["stage"] for e in outputs(made)] == ["one", "two"]


def test_what_is_left_comes_before_the_end_of_its_attempt(
    ended: Ended,
) -> None:
    made = ended(saying(Progress("one"), Progress("two"), Progress("three")))
    kinds = [(e[0], len(e[4]) if e[0] == "output" else 0) for e in made.events()]
    assert kinds[-4:] == [("output", 1), ("output", 2), ("passed", 0), ("run_done", 0)]


def test_lanes_of_a_batch_emit_too(ended: Ended) -> None:
    def script(call: StepCall) -> Any:
        call.emit(Progress(f"lane {call.input}"))
        return call.input

    flow = fanout(lit(list(range(40))), step("inc", at("$.item"), "$.b"))
    made = ended(script, flow)
    assert {e["stage"] for e in outputs(made)} == {f"lane {n}" for n in range(40)}
    places = {event[1] for event in made.events() if event[0] == "output"}
    assert places == {f"/lane[{n}]" for n in range(40)}
    assert [lane["b"] for lane in made.final()["out"]] == list(range(40))


def test_more_events_than_the_limit_are_one_mark_and_no_failure(
    ended: Ended,
) -> None:
    emitted = [Log(str(n)) for n in range(50)]
    made = ended(saying(*emitted), limits=Limits(events=5))
    written = outputs(made)
    assert len(written) == 6
    assert written[-1]["type"] == "truncated"
    assert written[-1]["why"] == "more than SWARM_EVENT_LIMIT (5 events)"
    assert made.final() == {"a": "done"}


def test_more_bytes_than_the_limit_are_one_mark_and_no_failure(
    ended: Ended,
) -> None:
    emitted = [Log("x" * 100) for _ in range(50)]
    made = ended(saying(*emitted), limits=Limits(event_bytes=1000))
    written = outputs(made)
    assert len(written) < 10
    assert written[-1]["why"] == "more than SWARM_EVENT_BYTES_LIMIT (1000 bytes)"
    assert made.final() == {"a": "done"}


def test_parts_count_for_the_result_also_beyond_the_limit(
    ended: Ended,
) -> None:
    emitted = [Artifact(f"p{n}", n) for n in range(20)]
    made = ended(saying(*emitted), limits=Limits(events=5))
    assert made.final()["a"]["parts"] == {f"p{n}": n for n in range(20)}


def test_parts_larger_than_the_ctx_fail_the_step(
    ended: Ended,
) -> None:
    emitted = [Artifact(f"p{n}", "x" * 100) for n in range(20)]
    made = ended(saying(*emitted), limits=Limits(ctx_bytes=1000))
    assert "the parts are larger than SWARM_CTX_LIMIT" in made.error()[1]


def test_a_too_large_part_may_be_replaced_by_one_that_fits(
    ended: Ended,
) -> None:
    large, small = Artifact("b", "x" * 2000), Artifact("b", "y")
    made = ended(
        saying(Artifact("a", 1), large, small),
        limits=Limits(ctx_bytes=1000),
    )
    assert made.final()["a"]["parts"] == {"a": 1, "b": "y"}
    made = ended(saying(small, large), limits=Limits(ctx_bytes=1000))
    assert "no room for 'b'" in made.error()[1]
    # What was replaced takes no room any more.
    again = [Artifact("a", "x" * 400) for _ in range(10)]
    assert ended(saying(*again), limits=Limits(ctx_bytes=1000)).final()["a"]["parts"]


def test_the_number_of_parts_is_bounded(ended: Ended) -> None:
    few = [Artifact(f"p{n}", n) for n in range(MOST_PARTS)]
    assert len(ended(saying(*few, *few)).final()["a"]["parts"]) == MOST_PARTS
    made = ended(saying(*few, Artifact("more", 1)))
    assert made.error()[1].endswith("the step gives more than 10000 parts")


def test_names_without_room_are_bounded() -> None:
    outlet = Outlet(Writer(), Limits(ctx_bytes=1000), "w")  # type: ignore[arg-type]
    emit = Emitter(outlet, Owner(), "/a", 1, "agent")
    for n in range(3 * MOST_PARTS):
        emit(Artifact(f"{n}" + "n" * 120, 1))
    tail = emit.tail
    assert tail is not None
    assert len(tail._too_large) + len(tail._parts) == MOST_PARTS
    assert tail.end(Outcome("passed", 1)).kind == "failed"


def test_many_parts_cost_no_more_each_than_few() -> None:
    def seconds(count: int) -> float:
        emit, _ = threaded(Writer())
        parts = [Artifact(f"p{n}", n) for n in range(count)]
        began = time.process_time()
        for part in parts:
            emit(part)
        return time.process_time() - began

    few = min(seconds(MOST_PARTS // 10) for _ in range(3))
    assert seconds(MOST_PARTS) < 40 * few


@pytest.mark.parametrize("name", ["", "x" * 129, 5])
def test_a_part_with_a_bad_name_fails_the_step_also_beyond_the_limit(
    ended: Ended, name: Any
) -> None:
    emitted = [*(Log("x") for _ in range(20)), Artifact(name, 1)]
    made = ended(saying(*emitted), limits=Limits(events=5))
    assert (
        "the name of a part must" in made.error()[1] or "has at most" in made.error()[1]
    )


def test_parts_fold_and_the_last_of_a_name_wins(ended: Ended) -> None:
    made = ended(
        saying(Artifact("plan", [1]), Artifact("log", "x"), Artifact("plan", {"b": 2})),
    )
    assert made.final() == {
        "a": {"out": "done", "parts": {"plan": {"b": 2}, "log": "x"}}
    }


def test_a_blocked_answer_has_its_parts(ended: Ended) -> None:
    made = ended(
        saying(Artifact("why", "thin"), answer=Outcome("blocked", "REDO")),
    )
    assert '{"out":"REDO","parts":{"why":"thin"}}' in made.error()[1]


def test_parts_of_a_failed_attempt_are_not_those_of_the_next(
    ended: Ended,
) -> None:
    def script(call: StepCall) -> Any:
        if call.attempt < 3:
            call.emit(Artifact("draft", call.attempt))
            raise RuntimeError("not yet")
        return "good"

    made = ended(script, step("again", at("$.a"), "$.a"))
    assert made.final() == {"a": "good"}
    drafts = [e["content"]["value"] for e in outputs(made)]
    assert drafts == [1, 2]


def test_the_last_final_wins_and_names_its_author(
    ended: Ended,
) -> None:
    made = ended(
        saying(
            Final("first"),
            Final({"n": 2}, by="reviewer"),
            Final([3], ok=True),
            answer=Outcome("passed", AS_EMITTED),
        ),
    )
    assert made.final() == {"a": [3]}
    assert [e["by"] for e in outputs(made)] == ["inc", "reviewer", "inc"]


def test_a_final_that_is_not_ok_is_blocked(ended: Ended) -> None:
    emitted = [Final("yes"), Final("no", ok=False)]
    made = ended(saying(*emitted, answer=Outcome("passed", AS_EMITTED)))
    assert made.error()[1] == "dispatcher error for ref 'inc': blocked: \"no\""


def test_without_a_final_there_is_no_result(ended: Ended) -> None:
    made = ended(saying(Log("x"), answer=Outcome("passed", AS_EMITTED)))
    assert "ended without a final result" in made.error()[1]


def test_a_part_that_is_no_json_fails_the_step_for_good(
    ended: Ended,
) -> None:
    made = ended(
        saying(Artifact("plan", {1, 2})),
        step("again", at("$.a"), "$.a"),
    )
    assert "artifact 'plan': " in made.error()[1]


@pytest.mark.parametrize("bad", [Partial({1}), Progress("\ud800")])
def test_an_event_that_cannot_be_emitted_fails_nothing(
    ended: Ended, bad: OutputEvent
) -> None:
    assert ended(saying(bad, Log("after"))).final() == {"a": "done"}


def test_what_is_no_event_at_all_fails_nothing(ended: Ended) -> None:
    assert ended(saying("text")).final() == {"a": "done"}  # type: ignore[arg-type]


def test_a_large_content_is_not_repeated_in_the_journal(
    ended: Ended,
) -> None:
    made = ended(saying(Artifact("big", "x" * 20_000)))
    assert outputs(made)[0]["content"] == {"kind": "omitted", "size": 20_002}
    assert len(made.final()["a"]["parts"]["big"]) == 20_000


def test_long_texts_are_cut(ended: Ended) -> None:
    made = ended(saying(Log("x" * 9000), Progress("s" * 900, "n" * 900)))
    log, progress = outputs(made)
    assert [len(log["text"]), len(progress["stage"]), len(progress["note"])] == [
        4000,
        100,
        500,
    ]


def test_a_stale_attempt_emits_nothing(swarm_simulator: MakeSimulator) -> None:
    """Its successor's claim came between: the rest of its output is dropped."""

    def script(call: StepCall) -> Any:
        if not stolen:
            stolen.append(1)
            made.steward(60_000)
            made.steward(20_000)
            made.turn()
            call.emit(Progress("ghost"))
            call.emit(Progress("ghost again"))
        else:
            call.emit(Progress("heir"))
        return "done"

    stolen: list[int] = []
    made = swarm_simulator(spawners(script))
    made.launch(program(INC), {"a": 1})
    made.run()
    made.settle_down()
    assert {e["stage"] for e in outputs(made)} == {"heir"}


@pytest.mark.parametrize("chaos", [CALM, STORM])
@pytest.mark.parametrize("seed", range(20))
def test_output_of_a_storm_has_no_gap_inside_an_entry(
    ended: Ended, chaos: Chaos, seed: int
) -> None:
    def script(call: StepCall) -> Any:
        for n in range(3):
            call.emit(Progress(str(n)))
            call.emit(Artifact("n", n))
        return call.input

    flow = seq(INC, fanout(lit([1, 2, 3]), seq(INC, INC)), INC)
    made = ended(script, flow, chaos=chaos, seed=seed)
    assert made.final()["a"]["parts"] == {"n": 2}
    for event in map(named, made.events()):
        if event["kind"] == "output":
            stages = [e["stage"] for e in event["events"] if e["type"] == "progress"]
            assert stages == sorted(stages)


class Writer:
    """A store that notes entries, or fails, or takes its time."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.answer: Any = "ok"
        self.wrote = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def emit(self, owner: Any, seq: int, nonce: str, mark: int, entry: bytes) -> str:
        self.wrote.set()
        self.go_on.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.entries.append(entry)
        return str(self.answer)


def threaded(writer: Writer) -> tuple[Emitter, Owner]:
    owner = Owner()
    outlet = Outlet(writer, Limits(), "w")  # type: ignore[arg-type]
    return Emitter(outlet, owner, "/a", 1, "agent"), owner


def test_a_thread_writes_the_first_event_at_once_and_later_ones_in_bundles() -> None:
    writer = Writer()
    emit, owner = threaded(writer)
    emit(Progress("one"))
    until(lambda: len(writer.entries) == 1)
    for n in range(10):
        emit(Progress(str(n)))
    until(lambda: len(writer.entries) == 2)
    assert b'"one"' in writer.entries[0]
    assert writer.entries[1].count(b"progress") == 10
    assert emit.tail is not None
    emit.tail.end(Outcome("passed", 1))
    assert owner.events == []


def test_an_event_that_stays_the_last_for_long_is_written_too() -> None:
    writer = Writer()
    emit, _ = threaded(writer)
    emit(Progress("one"))
    until(lambda: len(writer.entries) == 1)
    emit(Progress("two"))
    until(lambda: len(writer.entries) == 2)


def journaled(owner: Any) -> Any:
    """Return an owner's events as a reader of the journal gets them."""
    return orjson.loads(pack_entry("0", 1, "", owner.events))["e"]


def test_the_end_waits_for_a_write_that_is_under_way() -> None:
    writer = Writer()
    writer.go_on.clear()
    emit, owner = threaded(writer)
    emit(Progress("one"))
    assert writer.wrote.wait(10)
    emit(Progress("two"))
    threading.Timer(0.1, writer.go_on.set).start()
    assert emit.tail is not None
    emit.tail.end(Outcome("passed", 1))
    assert len(writer.entries) == 1
    assert [event[3:] for event in journaled(owner)] == [
        [2, [{"type": "progress", "stage": "two", "note": ""}]]
    ]


def test_what_could_not_be_written_goes_out_with_the_end() -> None:
    writer = Writer()
    writer.answer = OSError("no server")
    emit, owner = threaded(writer)
    emit(Progress("one"))
    assert writer.wrote.wait(10)
    assert emit.tail is not None
    assert emit.tail.end(Outcome("passed", 1)).value == 1
    assert owner.events[0][3] == 1
    assert journaled(owner)[0][4][0]["stage"] == "one"


def test_after_a_refusal_nothing_is_written_any_more() -> None:
    writer = Writer()
    writer.answer = "stale"
    emit, owner = threaded(writer)
    emit(Progress("one"))
    until(lambda: writer.entries)
    emit(Progress("two"))
    assert emit.tail is not None
    emit.tail.end(Outcome("passed", 1))
    assert owner.events == []
    assert len(writer.entries) == 1


def test_an_event_after_the_end_is_dropped() -> None:
    writer = Writer()
    emit, owner = threaded(writer)
    emit(Progress("one"))
    assert emit.tail is not None
    emit.tail.end(Outcome("passed", 1))
    left = len(owner.events) + len(writer.entries)
    emit(Progress("late"))
    time.sleep(emitter_module.EVERY_S * 1.5)
    assert len(owner.events) + len(writer.entries) == left == 1


def test_many_threads_may_emit_and_nothing_is_lost() -> None:
    writer = Writer()
    emit, owner = threaded(writer)
    work = [
        threading.Thread(target=lambda: [emit(Log("x")) for _ in range(200)])
        for _ in range(4)
    ]
    for each in work:
        each.start()
    for each in work:
        each.join()
    assert emit.tail is not None
    emit.tail.end(Outcome("passed", 1))
    written = sum(entry.count(b'"log"') for entry in writer.entries)
    assert written + sum(len(event[4]) for event in owner.events) == 800
