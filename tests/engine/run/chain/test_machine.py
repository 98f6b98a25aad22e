"""The machine alone: fuel, places, rollbacks across commits, frames as stored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flow_documents import at, delete, fanout, let, lit, seq, step

from engine.flow import Document, FlowError, evaluate, parse_node, read_node
from engine.run.attempt.outcomes import as_json
from engine.run.chain.chain import Chain, Frame, Phase, place_of, unpack_frames
from engine.run.chain.layout import Layout
from engine.run.chain.machine import (
    Checkpoint,
    Ended,
    Failed,
    Fork,
    Machine,
    Passed,
    Raised,
    StepRequest,
)

LOOP = {
    "kind": "loop", "counter": at("$.i"), "cond": lit(True), "max": 9,
    "body": seq(let("$.a", {"op": "add", "lhs": at("$.i"), "rhs": lit(1)})),
}  # fmt: skip


def machine(flow: Any, **options: Any) -> Machine:
    return Machine(Layout(parse_node(flow)), **options)


def fresh(ctx: Any) -> Chain:
    return Chain([], 0, Phase.ENTER, Document(ctx))


def reloaded(chain: Chain, ctx: Any) -> Chain:
    """Return the chain as another worker would: from its frames only."""
    phase, cursor, frames, end, opened = unpack_frames(chain.pack(), 0)
    made = Chain(frames, cursor, phase, Document(ctx), chain.start)
    made.end, made.opened, made.prefix = end, opened, chain.prefix
    return made


def test_a_delete_without_effect_is_no_edit() -> None:
    flow = read_node(seq(*(delete(at) for at in ("$.a", "$.a", "$.b.c"))), "swarm")
    chain = fresh({"a": 1, "b": 2})
    assert Machine(Layout(flow)).advance(chain) == Ended(None)
    assert chain.doc.value == {"b": 2}
    assert bytes(chain.edits) == b'[["a"],null,"delete"]\n'


def test_a_try_takes_a_delete_back() -> None:
    flow = {
        "kind": "try", "body": seq(delete("$.a"), let("$.x", at("$.a"))),
        "catch": let("$.y", at("$.a")),
    }  # fmt: skip
    chain = fresh({"a": 1})
    assert Machine(Layout(read_node(flow, "swarm"))).advance(chain) == Ended(None)
    assert chain.doc.value == {"a": 1, "y": 1}
    assert bytes(chain.edits) == b'[["y"],1]\n'


@pytest.mark.parametrize("fuel", [0, 1, 2, 5])
def test_a_chain_out_of_fuel_continues_where_it_stopped(fuel: int) -> None:
    made, chain = machine(LOOP, fuel_nodes=fuel), fresh({})
    stops = 0
    while isinstance(nxt := made.advance(chain), Checkpoint):
        chain.mark_committed()
        chain = reloaded(chain, chain.doc.value)
        stops += 1
    assert nxt == Ended(None)
    assert stops >= 18 // max(1, fuel) - 1
    assert chain.doc.value == evaluate(parse_node(LOOP), {}, lambda *_: None)


def test_time_is_fuel_too() -> None:
    ticks = iter(range(10_000))
    made = machine({**LOOP, "max": 1_000}, fuel_s=1.5, clock=lambda: float(next(ticks)))
    chain = fresh({})
    assert isinstance(made.advance(chain), Checkpoint)
    assert chain.doc.value["i"] < 1_000


def test_places_name_iterations_branches_and_lanes() -> None:
    inner = step("inc", at("$.a"), "$.a")
    branch = {"kind": "branch", "cond": lit(False), "then": inner, "else": inner}
    loop = {
        **LOOP,
        "body": seq({"kind": "try", "body": branch, "catch": inner, "err_at": None}),
    }
    made, chain = machine(seq(let("$.z", lit(0)), loop)), fresh({"a": 0})
    chain.prefix = "/lane[7]"
    nxt = made.advance(chain)
    place = "/lane[7]/children/1/body[0]/children/0/body/else"
    assert nxt == StepRequest("inc", 0, place)
    nxt = made.advance(chain, Failed("no"))
    assert isinstance(nxt, StepRequest)
    assert nxt.place == "/lane[7]/children/1/body[0]/children/0/catch"
    nxt = made.advance(chain, Passed(as_json(1)))
    assert isinstance(nxt, StepRequest)
    assert nxt.place == place.replace("body[0]", "body[1]")


def test_a_rollback_undoes_edits_of_earlier_commits() -> None:
    body = seq(let("$.a", lit(1)), step("inc", at("$.a"), "$.b"), let("$.c", lit(2)),
               step("inc", at("$.a"), "$.d"))  # fmt: skip
    flow = seq(
        let("$.kept", lit(1)),
        {"kind": "try", "body": body, "catch": let("$.e", lit(3)), "err_at": at("$.x")},
    )
    made, chain = machine(flow), fresh({})
    log = bytearray()

    def commit() -> None:
        log[chain.start :] = chain.edits
        chain.mark_committed()

    assert isinstance(made.advance(chain), StepRequest)
    kept = len(b'[["kept"],1]\n')
    commit()
    assert isinstance(made.advance(chain, Passed(as_json(5))), StepRequest)
    commit()
    assert chain.start == len(log) > kept
    assert made.advance(chain, Failed("no")) == Ended(None)
    assert chain.start == kept
    commit()
    lines = [orjson.loads(line) for line in bytes(log).splitlines()]
    text = "dispatcher error for ref 'inc': no"
    assert lines == [[["kept"], 1], [["x"], text], [["e"], 3]]
    assert chain.doc.value == {"kept": 1, "x": text, "e": 3}


def test_an_error_thrown_in_is_caught_like_any_other() -> None:
    flow = {
        "kind": "try", "body": fanout(lit([1]), let("$.a", lit(1))),
        "catch": seq(), "err_at": at("$.x"),
    }  # fmt: skip
    made, chain = machine(flow), fresh({})
    assert isinstance(made.advance(chain), Fork)
    chain.opened = 4
    again = reloaded(chain, {})
    again.frames[0].snapshot = {}
    assert again.opened == 4
    assert made.advance(again, Raised("Lost", "lost after 4 attempts")) == Ended(None)
    assert again.doc.value == {"x": "lost after 4 attempts"}


def test_an_uncaught_error_ends_the_chain() -> None:
    chain = fresh({})
    assert machine(let("$.a", at("$.gone"))).advance(chain) == Ended(
        ["PathNotFound", "path not found: $.gone", "", "$ = {}"]
    )
    assert unpack_frames(chain.pack(), 3) == ("e", 3, [], chain.end, -1)


def test_what_the_store_cannot_keep_is_an_error_of_the_flow() -> None:
    flow = {**LOOP, "max": 400, "body": let("$.a.b", at("$.a"))}
    chain = fresh({"a": {}})
    ended = machine(flow).advance(chain)
    assert isinstance(ended, Ended)
    assert ended.error is not None
    assert ended.error[0] == "CtxLimit"
    assert "cannot write path '$.a.b'" in ended.error[1]


def test_an_input_that_fails_is_the_steps_error() -> None:
    made, chain = machine(step("inc", at("$.gone"), "$.a")), fresh({})
    chain.phase = Phase.STEP
    assert isinstance(made.request(chain), FlowError)


@pytest.mark.parametrize(
    ("phase", "opened"),
    [(Phase.STEP, -1), (Phase.ENTER, -1), (Phase.JOIN, 12), (Phase.JOIN, 0)],
)
def test_frames_are_read_as_they_were_written(phase: Phase, opened: int) -> None:
    frames = [Frame(0, 2), Frame(3, 0, 17), Frame(4, 1)]
    chain = Chain(frames, 6, phase, Document(None), opened=opened)
    assert unpack_frames(chain.pack(), 9) == (phase, 6, frames, None, opened)


def test_a_lane_claimed_for_the_first_time_enters_its_body() -> None:
    assert unpack_frames(b"c", 5) == ("c", 5, [], None, -1)


def test_a_place_is_that_of_the_cursor() -> None:
    layout = Layout(parse_node(seq(seq(let("$.a", lit(1))), LOOP)))
    chain = Chain(
        [Frame(0, 1), Frame(3, 4)], 4, Phase.ENTER, Document(None), prefix="/p"
    )
    assert place_of(layout, chain) == "/p/children/1/body[4]"
