"""The place of an error that ends a chain, and the part of the Ctx that it was about."""

from __future__ import annotations

from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq, step

from engine.flow import Document, read_node
from engine.flow.shortened import shortened
from engine.run.chain.chain import Chain, Phase
from engine.run.chain.layout import Layout
from engine.run.chain.machine import (
    Ended,
    Failed,
    Fork,
    Machine,
    Raised,
    StepRequest,
)


def above(path: str, least: Any) -> Any:
    return {"op": "gt", "lhs": at(path), "rhs": lit(least)}


def loop(cond: Any, body: Any) -> Any:
    return {"kind": "loop", "counter": at("$.i"), "cond": cond, "body": body, "max": 9}


def ended(flow: Any, ctx: Any, *signals: Any) -> Any:
    """Return the error with which a chain ends."""
    made = Machine(Layout(read_node(flow, dialect="swarm")))
    chain = Chain([], 0, Phase.ENTER, Document(ctx))
    nxt = made.advance(chain)
    for signal in signals:
        nxt = made.advance(chain, signal)
    assert isinstance(nxt, Ended)
    return nxt.error


@pytest.mark.parametrize(
    ("flow", "ctx", "place", "about"),
    [
        (seq(seq(), let("$.a", at("$.rows[3].gone"))), {"rows": [1]},
         "/children/1", "$.rows = [1]"),
        (seq(let("$.a", above("$.n", 1))), {"n": "high"},
         "/children/0", '$.n = "high"'),
        (loop(lit(True), let("$.a", at("$.gone"))), {},
         "/body[0]", '$ = {"i":0}'),
        # The condition of the loop, after its body has run once.
        (seq(loop(above("$.n", 0), let("$.n", lit("x")))), {"n": 1},
         "/children/0", '$.i = 1\n$.n = "x"'),
        ({"kind": "branch", "cond": at("$.n"), "then": seq(), "else": seq()}, {"n": 3},
         "", "$.n = 3"),
    ],
)  # fmt: skip
def test_an_error_has_the_place_and_the_values_that_its_node_reads(
    flow: Any, ctx: Any, place: str, about: str
) -> None:
    assert ended(flow, ctx)[2:] == [place, about]


def test_an_agents_failure_has_the_place_of_its_step_alone() -> None:
    flow = seq(step("inc", at("$.a"), "$.b"))
    error = ended(flow, {"a": 1}, Failed("no"))
    assert error == [
        "DispatcherError", "dispatcher error for ref 'inc': no", "/children/0", "",
    ]  # fmt: skip


def test_the_failure_of_a_lane_keeps_its_place_in_the_chain_above() -> None:
    flow = seq(fanout(lit([1]), step("inc", at("$.a"), "$.b")))
    raised = Raised("K", "no", "/children/0/lane[7]", "$.a = 1")
    assert ended(flow, {}, raised) == ["K", "no", "/children/0/lane[7]", "$.a = 1"]


def test_an_error_after_a_caught_one_has_its_own_place() -> None:
    flow = seq(
        {"kind": "try", "body": fanout(lit([1]), seq()), "catch": seq(), "err_at": None},
        let("$.x", at("$.gone")),
    )  # fmt: skip
    error = ended(flow, {}, Raised("K", "no", "/children/0/body/lane[7]", "$.a = 1"))
    assert error[2] == "/children/1"


def test_a_lane_that_is_not_selected_has_the_place_of_the_lane() -> None:
    flow = fanout(lit([1]), step("inc", at("$.a"), "$.b"), select=at("$.gone"))
    made = Machine(Layout(read_node(flow, dialect="swarm")))
    chain = Chain([], 1, Phase.ENTER, Document({"a": 1}), prefix="/lane[4]", fanout=0)
    assert isinstance(made.advance(chain), StepRequest)
    assert isinstance(made.advance(chain, Failed("no")), Ended)
    chain = Chain([], 0, Phase.ENTER, Document({"a": 1}))
    assert isinstance(made.advance(chain), Fork)
    lane = Chain([], 1, Phase.ENTER, Document({}), prefix="/lane[4]", fanout=0)
    flow["body"] = seq()
    nxt = Machine(Layout(read_node(flow, dialect="swarm"))).advance(lane)
    assert isinstance(nxt, Ended)
    assert nxt.error is not None
    assert nxt.error[1:3] == ["path not found: $.gone", "/lane[4]"]


def test_what_is_shown_of_a_large_ctx_is_short() -> None:
    ctx = {"rows": [{"text": "x" * 500}] * 1000, "n": {"a": {"b": {"c": 1}}}}
    _, _, _, about = ended(let("$.a", at("$.rows.gone")), ctx)
    assert about.startswith('$.rows = [{"text":"xxx')
    assert len(about) < 220
    assert shortened([1, 2, 3, 4, 5]) == [1, 2, 3, "… 2 more"]
    assert shortened({str(n): n for n in range(10)})["…"] == "2 more keys"
    assert shortened(ctx["n"], depth=2) == {"a": {"b": "… 1 keys"}}
