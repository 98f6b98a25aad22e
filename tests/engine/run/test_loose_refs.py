"""A Blueprint without strict_refs: a step without an agent fails when it is reached."""

from typing import Any

import pytest
from flow_documents import at, step

from engine.blueprint import compile_blueprint
from engine.run.chain.machine import NO_AGENT
from engine.testing import ScriptedSpawner
from workers.pytest_plugin import MakeSimulator

TEXT = f"dispatcher error for ref 'nobody': {NO_AGENT}"


def end_of(swarm_simulator: MakeSimulator, flow: Any) -> tuple[str, Any]:
    document = {
        "id": "loose",
        "flow": flow,
        "agents": [{"name": "inc", "kind": "python_fn", "spec": {"fn_id": "inc"}}],
        "strategy": {"strict_refs": False},
    }
    spawner = ScriptedSpawner(lambda call: call.input + 1)
    simulator = swarm_simulator({"python_fn": spawner})
    simulator.launch(compile_blueprint(document), {"a": 1})
    status = simulator.run().status
    return status, simulator.final() if status == "done" else None


def test_the_failure_is_caught_like_any_other(swarm_simulator: MakeSimulator) -> None:
    body = {
        "kind": "seq",
        "children": [step("inc", at("$.a"), "$.b"), step("nobody", at("$.a"), "$.c")],
    }
    flow = {
        "kind": "try", "body": body, "catch": step("inc", at("$.a"), "$.d"),
        "err_at": at("$.error"),
    }  # fmt: skip
    assert end_of(swarm_simulator, flow) == ("done", {"a": 1, "error": TEXT, "d": 2})


@pytest.mark.parametrize("items", [[1], [1, 2, 3]])
def test_lanes_without_an_agent_are_rejected(
    swarm_simulator: MakeSimulator, items: list[int]
) -> None:
    flow = {
        "kind": "fanout", "items": {"op": "lit", "value": items}, "bind": at("$.n"),
        "body": step("nobody", at("$.a"), "$.c"), "join": "all_settled", "out": at("$.out"),
    }  # fmt: skip
    status, ctx = end_of(swarm_simulator, flow)
    assert status == "done"
    assert ctx["out"] == [{"status": "rejected", "reason": TEXT}] * len(items)


def test_uncaught_it_fails_the_run_at_the_first_step(
    swarm_simulator: MakeSimulator,
) -> None:
    assert end_of(swarm_simulator, step("nobody", at("$.a"), "$.c")) == ("failed", None)
