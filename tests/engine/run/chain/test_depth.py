"""No Ctx is nested deeper than its limit, whatever writes it."""

from __future__ import annotations

from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq, step
from simulated_runs import ended

from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.run.chain.ctx import Lanes, depth_of, dump_expanded
from workers.pytest_plugin import MakeSimulator


def nested(depth: int, inner: Any = 1) -> Any:
    """Return a value of as many containers."""
    for level in range(depth):
        inner = {"x": inner} if level % 2 else [inner]
    return inner


def loop(body: Any, most: int) -> Any:
    return {
        "kind": "loop", "counter": at("$.i"), "cond": lit(True), "max": most,
        "body": body,
    }  # fmt: skip


def caught(body: Any) -> Any:
    return {"kind": "try", "body": body, "catch": seq(), "err_at": at("$.e")}


def end_of(
    swarm_simulator: MakeSimulator,
    flow: Any,
    ctx: Any = None,
    dialect: Any = "flow.ir",
) -> Any:
    """Run a flow to its end; return how it ended and its final Ctx."""
    made = ended(swarm_simulator, flow, ctx or {}, dialect=dialect)
    final = made.final()
    assert text_depth(dump_expanded(final, 1 << 24)) <= MAX_DEPTH
    return list(made.events())[-1], final


@pytest.mark.parametrize("join", ["all", "all_settled", "any", "race"])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_loop_of_joins_ends_at_the_limit_with_its_place(
    swarm_simulator: MakeSimulator, join: str, steps: int
) -> None:
    body = seq(*[step("inc", lit(1), "$.a")] * steps)
    round_ = fanout(lit([1]), body, join, "$.deep.x")
    end, final = end_of(swarm_simulator, loop(round_, 200))
    # Each round adds the containers of the path, of the list and of its record.
    per_round = {"all": 3, "all_settled": 4, "any": 2, "race": 2}[join]
    assert end[:2] == ["run_failed", "CtxLimit"]
    assert "cannot write path '$.deep.x'" in end[2]
    assert f"deeper than {MAX_DEPTH} containers" in end[2]
    assert final["i"] == (MAX_DEPTH - 1) // per_round
    assert MAX_DEPTH - per_round < depth_of(final) <= MAX_DEPTH


def test_a_try_catches_what_would_be_too_deep(swarm_simulator: MakeSimulator) -> None:
    flow = loop(caught(fanout(lit([1]), seq(), "all", "$.x")), 80)
    end, final = end_of(swarm_simulator, flow)
    assert end[0] == "run_done"
    assert "nested deeper" in final["e"]
    assert final["i"] == 80


def test_every_write_is_bounded_by_the_limit(swarm_simulator: MakeSimulator) -> None:
    fits, above = nested(MAX_DEPTH - 2), nested(MAX_DEPTH - 1)
    ctx = {"fits": fits, "above": above}
    copy = let("$.a.b", at("$.fits"))
    assert end_of(swarm_simulator, copy, ctx)[0] == ["run_done"]
    copy["value"] = at("$.above")
    end, _ = end_of(swarm_simulator, copy, ctx)
    assert end[:2] == ["run_failed", "CtxLimit"]
    assert "'$.a.b'" in end[2]


def test_items_are_bound_within_the_limit(swarm_simulator: MakeSimulator) -> None:
    deep = fanout(at("$.items"), seq(step("inc", lit(1), "$.a")))
    deep["bind"] = at("$.a.b.c")
    end, _ = end_of(swarm_simulator, deep, {"items": [1, nested(MAX_DEPTH - 2)]})
    assert end[:2] == ["run_failed", "CtxLimit"]
    assert "'$.a.b.c'" in end[2]


def test_what_select_gives_is_bounded_by_the_limit(
    swarm_simulator: MakeSimulator,
) -> None:
    deep = fanout(lit([1]), seq(), "all", "$.out.x")
    deep["select"] = at("$.deep")
    end, _ = end_of(swarm_simulator, deep, {"deep": nested(MAX_DEPTH - 3)}, "swarm")
    assert end == ["run_done"]
    end, _ = end_of(swarm_simulator, deep, {"deep": nested(MAX_DEPTH - 2)}, "swarm")
    assert end[:2] == ["run_failed", "CtxLimit"]


def test_the_bound_is_measured_anew_where_the_deep_part_is_gone(
    swarm_simulator: MakeSimulator,
) -> None:
    flow = seq(
        let("$.deep", lit(1)),
        fanout(lit([1, 2]), seq(), "all", "$.a.b.c"),
    )
    end, final = end_of(swarm_simulator, flow, {"deep": nested(MAX_DEPTH - 1)})
    assert end == ["run_done"]
    assert len(final["a"]["b"]["c"]) == 2


@pytest.mark.parametrize("depth", [1, 16, 17, 126, 127, 128, 250])
def test_the_depth_of_a_text_is_that_of_its_value(depth: int) -> None:
    value = nested(depth, '[[{"\\"]')
    many = [[] for _ in range(40)]
    assert text_depth(dump_expanded([value, many], 10_000)) == max(depth, 2) + 1
    assert depth_of(value) == min(depth, MAX_DEPTH + 1)


def test_what_is_shared_is_measured_once() -> None:
    value: Any = [1]
    for _ in range(100):
        value = [value, value]
    assert depth_of(value) == 101
    lanes = Lanes([value] * 10_000, {"k": "0.k1"}, 102)
    assert depth_of({"x": lanes, "y": lanes}) == 103
