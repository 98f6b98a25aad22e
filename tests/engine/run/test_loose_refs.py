"""A Blueprint without strict_refs: a step without an agent fails where it stands."""

from typing import Any

import pytest

from engine.blueprint import compile_blueprint
from engine.run.machine import NO_AGENT
from engine.testing import ScriptedSpawner, Simulator

TEXT = f"dispatcher error for ref 'nobody': {NO_AGENT}"


def path(at: str) -> Any:
    return {"op": "path", "at": at}


def step(ref: str, out: str) -> Any:
    return {"kind": "step", "ref": ref, "in": path("$.a"), "out": path(out)}


def end_of(flow: Any) -> tuple[str, Any]:
    document = {
        "id": "loose",
        "flow": flow,
        "agents": [{"name": "inc", "kind": "python_fn", "spec": {"fn_id": "inc"}}],
        "strategy": {"strict_refs": False},
    }
    spawner = ScriptedSpawner(lambda call: call.input + 1)
    simulator = Simulator.over_memory({"python_fn": spawner})
    simulator.launch(compile_blueprint(document), {"a": 1})
    status = simulator.run().status
    return status, simulator.final() if status == "done" else None


def test_the_failure_is_caught_like_any_other() -> None:
    body = {"kind": "seq", "children": [step("inc", "$.b"), step("nobody", "$.c")]}
    flow = {
        "kind": "try", "body": body, "catch": step("inc", "$.d"),
        "err_at": path("$.error"),
    }  # fmt: skip
    assert end_of(flow) == ("done", {"a": 1, "error": TEXT, "d": 2})


@pytest.mark.parametrize("items", [[1], [1, 2, 3]])
def test_lanes_without_an_agent_are_rejected(items: list[int]) -> None:
    flow = {
        "kind": "fanout", "items": {"op": "lit", "value": items}, "bind": path("$.n"),
        "body": step("nobody", "$.c"), "join": "all_settled", "out": path("$.out"),
    }  # fmt: skip
    status, ctx = end_of(flow)
    assert status == "done"
    assert ctx["out"] == [{"status": "rejected", "reason": TEXT}] * len(items)


def test_uncaught_it_fails_the_run_at_the_first_step() -> None:
    assert end_of(step("nobody", "$.c")) == ("failed", None)
