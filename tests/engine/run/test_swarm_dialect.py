"""The dialect `swarm` in live runs: what is stored of a lane, how many run at once."""

from __future__ import annotations

import functools
import random
import tracemalloc
from typing import Any

import pytest
import simulated_runs
from flow_documents import at, fanout, let, lit, seq, step
from random_programs import spawners

from engine.flow import read_node
from engine.flow.nodes import Fanout
from engine.run.drive import chords, folding
from engine.run.drive.chords import lanes_at_once
from engine.run.limits import Limits
from engine.testing import Simulator
from workers.pytest_plugin import MakeSimulator

INC = step("inc", at("$.item"), "$.r")
BIG = let("$.big", lit(["x" * 100] * 50))


launched = functools.partial(simulated_runs.launched, dialect="swarm")
ended = functools.partial(simulated_runs.ended, dialect="swarm")


def logs(made: Simulator) -> list[bytes]:
    results = made.store.results("R-1:1", "0.k0", 0, 10_000)
    return [log for log, _ in results.values() if log is not None]


@pytest.mark.parametrize("steps", [0, 100])
@pytest.mark.parametrize("body", ["at once", "batched", "alone", "folded"])
def test_of_a_lane_only_what_was_selected_is_stored(
    swarm_simulator: MakeSimulator,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    steps: int,
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 1 if body == "folded" else 1 << 20)
    inner = {
        "at once": seq(BIG, let("$.r", lit(7))),
        "batched": seq(BIG, INC),
        "alone": seq(BIG, INC, BIG, INC),
        "folded": seq(BIG, *[INC] * 6),
    }[body]
    flow = fanout(lit(list(range(30))), inner)
    plain = ended(swarm_simulator, flow, limits=Limits(steps=steps))
    assert body == "at once" or min(map(len, logs(plain))) > 5_000
    want = [lane["r"] for lane in plain.final()["out"]]
    made = ended(
        swarm_simulator, {**flow, "select": at("$.r")}, limits=Limits(steps=steps)
    )
    assert len(logs(made)) == 30
    assert max(map(len, logs(made))) < 12
    assert list(made.final()["out"]) == want


def test_a_select_of_a_join_is_stored_by_value(swarm_simulator: MakeSimulator) -> None:
    inner = fanout(lit([1, 2]), INC, out="$.inner") | {"select": at("$.r")}
    outer = fanout(lit([5, 6]), inner) | {"select": at("$.inner")}
    made = ended(
        swarm_simulator, seq(outer, let("$.copy", at("$.out[0]")), INC), {"item": 0}
    )
    assert list(made.final()["out"]) == [[2, 3], [2, 3]]
    assert made.final()["copy"] == [2, 3]


def test_what_is_selected_is_bounded_as_any_result_of_a_lane(
    swarm_simulator: MakeSimulator,
) -> None:
    twice = {
        "op": "map", "in": lit(list(range(50))), "as": "$.x", "value": at("$.big"),
    }  # fmt: skip
    flow = fanout(lit([1, 2]), BIG) | {"select": twice}
    error = ended(swarm_simulator, flow, limits=Limits(input_bytes=100_000)).error()
    assert error is not None
    assert error[0] == "InputLimit"
    assert error[1].startswith(
        "the value that `select` gives for a lane is larger than"
    )
    error = ended(swarm_simulator, flow, limits=Limits(ctx_bytes=100_000)).error()
    assert error is not None
    assert error[0] == "CtxLimit"


def test_a_select_may_make_a_lane_fit_that_would_be_too_large(
    swarm_simulator: MakeSimulator,
) -> None:
    flow = fanout(lit([1, 2]), seq(BIG, let("$.r", lit(1))))
    limits = Limits(ctx_bytes=2_000)
    assert ended(swarm_simulator, flow, limits=limits).error() is not None
    assert list(ended(swarm_simulator, {**flow, "select": at("$.r")}, limits=limits).final()["out"]) == [
        1, 1,
    ]  # fmt: skip


def test_what_is_not_json_fails_the_lane(
    swarm_simulator: MakeSimulator,
) -> None:
    deep: Any = 1
    for _ in range(240):
        deep = [deep]
    select = at("$.deep")
    for _ in range(20):
        select = {"op": "map", "in": lit([0]), "as": "$.x", "value": select}
    flow = fanout(lit([1]), seq(), "all_settled") | {"select": select}
    [lane] = ended(swarm_simulator, flow, {"deep": deep}).final()["out"]
    assert lane["status"] == "rejected"
    assert "can't be written as JSON" in lane["reason"]


@pytest.mark.parametrize("seed", range(30))
def test_a_pause_does_not_select_twice(
    swarm_simulator: MakeSimulator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    batch = dice.choice((1, 2))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    flow = fanout(lit([1, 2, 3]), seq(INC, INC)) | {
        "select": {"op": "default", "arg": at("$.r"), "fallback": lit("twice")},
        "max_parallel": dice.choice((1, 2, 9)),
    }
    agents = spawners()
    made = launched(
        swarm_simulator, flow, spawners=agents, seed=seed, limits=Limits(steps=1)
    )
    store = made.store
    for attempt in ("settle", "commit_batch", "commit"):
        inner = getattr(store, attempt)

        def paused(*args: Any, inner: Any = inner) -> Any:
            if dice.random() < 0.3:
                store.pause("R-1")
            return inner(*args)

        setattr(store, attempt, paused)
    for _ in range(500):
        store.resume("R-1")
        made.turn()
        head = store.head("R-1")
        assert head is not None
        if head.status == "done":
            break
    assert list(made.final()["out"]) == [2, 3, 4]


def node(most: int | None) -> Fanout:
    own = {} if most is None else {"max_parallel": most}
    made = read_node({**fanout(lit([]), seq()), **own}, "swarm")
    assert isinstance(made, Fanout)
    return made


@pytest.mark.parametrize("size", [1, 3, 64, 1_000, 100_000])
@pytest.mark.parametrize("batched", [True, False])
def test_no_window_and_batch_together_exceed_what_is_allowed(
    size: int, batched: bool
) -> None:
    limits = Limits(consumers=2)
    free = lanes_at_once(node(None), size, limits, batched=batched)
    assert free[1] == limits.window
    for most in [*range(1, 130), 1_000, 2**32 - 1]:
        batch, window = lanes_at_once(node(most), size, limits, batched=batched)
        assert batch & (batch - 1) == 0, "so that none spans two pages of items"
        assert 1 <= batch <= free[0]
        assert 1 <= window <= limits.window
        # A message goes out while fewer lanes than the window are under way.
        assert window - 1 + batch <= max(most, 1)
        assert batched or batch == 1


def test_few_lanes_at_once_each_have_a_message() -> None:
    limits = Limits(consumers=2)
    assert lanes_at_once(node(4), 1_000, limits, batched=True) == (1, 4)
    assert lanes_at_once(node(512), 1_000, limits, batched=True) == (64, 449)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_never_more_lanes_are_under_way_than_allowed(
    swarm_simulator: MakeSimulator, most: int
) -> None:
    flow = fanout(lit(list(range(40))), seq(INC, step("far", at("$.r"), "$.r")))
    agents = spawners()
    made = launched(
        swarm_simulator,
        {**flow, "max_parallel": most},
        spawners=agents,
        limits=Limits(steps=1),
    )
    widest = 0
    while made.store.head("R-1").status == "running":  # type: ignore[union-attr]
        made.turn()
        begun = {call.place.split("/")[1] for call in agents["quick"].calls}
        over = made.store.results("R-1:1", "0.k0", 0, 40)
        widest = max(widest, len(begun) - len(over))
    assert 1 <= widest <= most
    assert made.final()["out"][39]["r"]["far"] == 80


DOUBLE = {"op": "map", "in": lit([0, 1]), "as": "$.x", "value": at("$.a")}


def grown(
    swarm_simulator: MakeSimulator, flow: Any, **options: Any
) -> tuple[list[str] | None, int]:
    """Run a flow; its error, and the most memory that was taken meanwhile."""
    tracemalloc.start()
    try:
        error = ended(swarm_simulator, flow, {"a": [1]}, **options).error()
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def maps(depth: int) -> Any:
    """Return an expression that gives a value 300 times, `depth` times over."""
    value = at("$.a")
    for _ in range(depth):
        value = {"op": "map", "in": lit([0] * 300), "as": "$.x", "value": value}
    return value


@pytest.mark.slow
@pytest.mark.parametrize("lane", [False, True])
def test_doubling_ends_the_chain_before_it_takes_gigabytes(
    swarm_simulator: MakeSimulator, lane: bool
) -> None:
    # Written out, 40 doublings of "[1]" are 3 TB.
    double = {
        "kind": "loop", "counter": at("$.n"), "cond": lit(True), "max": 40,
        "body": let("$.a", DOUBLE),
    }  # fmt: skip
    error, peak = grown(swarm_simulator, fanout(lit([1]), double) if lane else double)
    assert error is not None
    assert error[0] == "CtxLimit"
    assert "SWARM_CTX_LIMIT" in error[1]
    assert peak < 300 << 20


def big_first(node: Any) -> Any:
    return seq(let("$.a", lit("x" * 100_000)), node)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "kind"),
    [
        (let("$.b", maps(2)), "CtxLimit"),
        (step("inc", maps(2), "$.b"), "DispatcherError"),
        (fanout(maps(2), seq()), "InputLimit"),
        (fanout(lit([1]), seq()) | {"select": maps(2)}, "InputLimit"),
    ],
    ids=["let", "input", "items", "select"],
)
def test_one_expression_can_not_take_gigabytes(
    swarm_simulator: MakeSimulator, flow: Any, kind: str
) -> None:
    # 300 times 300 times 100 kB are 9 GB.
    error, peak = grown(swarm_simulator, big_first(flow))
    assert error is not None
    assert error[0] == kind
    assert "LIMIT" in error[1]
    assert peak < 300 << 20


def test_what_is_shared_may_be_written_out_while_it_fits(
    swarm_simulator: MakeSimulator,
) -> None:
    made = ended(swarm_simulator, seq(*[let("$.a", DOUBLE)] * 10), {"a": [1]})
    assert len(str(made.final()["a"]).split("1")) == 1025
