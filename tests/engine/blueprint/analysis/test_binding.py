"""Tests of engine/blueprint/analysis/binding.py and naming.py: who does it, under which name."""

from typing import Any

import pytest
from flow_documents import lit, step

from engine.blueprint import compile_blueprint, lint_blueprint
from engine.blueprint.analysis.binding import bind_requests
from engine.blueprint.reading import read_blueprint

WS = {"backend": "ws_operator", "variant": "reviewer", "tools": ["Read"]}


def operator(**more: Any) -> Any:
    spec = {"operator_ref": "desk"}
    return {"name": "critic", "kind": "operator", "spec": spec, **more}


def document(agent: Any, **more: Any) -> Any:
    flow = {"kind": "seq", "children": []}
    operators = [{"name": "desk"}]
    return {"id": "b", "flow": flow, "agents": [agent], "operators": operators, **more}


def bound(agent: Any, **more: Any) -> Any:
    return read_blueprint(document(agent, **more)).bound[0]


NAMED = [{"name": "n", "runner": {**WS, "variant": "named"}}]
DEFAULT = [*NAMED, {"name": "d", "runner": {**WS, "variant": "default"}}]


@pytest.mark.parametrize(
    ("agent", "source", "variant"),
    [
        ({"runner": WS, "runner_ref": "n"}, "agent_inline", "reviewer"),
        (
            {"runner_ref": "n", "profile": {"worker_binding": "w"}},
            "agent_ref",
            "named",
        ),
        ({"profile": {"worker_binding": "w"}}, "legacy_worker_binding", "w"),
        ({}, "blueprint_default", "default"),
    ],
)
def test_the_first_source_with_a_value_wins(
    agent: Any, source: str, variant: str
) -> None:
    one = bound(operator(**agent), runners=DEFAULT, default_runner="d")
    assert (one.source, one.runner.variant) == (source, variant)


def test_without_any_source_there_is_no_runner() -> None:
    assert (bound(operator()).source, bound(operator()).runner) == ("none", None)


def test_a_runner_decides_the_binding_and_tools_of_the_profile() -> None:
    profile = {"tools": ["Write"], "system_prompt": "Judge."}
    value = document(operator(runner=WS, profile=profile))
    agent = compile_blueprint(value).agents["critic"]
    assert agent.profile is not None
    assert agent.profile["tools"] == ["Read"]
    assert agent.profile["worker_binding"] == "reviewer"
    assert agent.profile["system_prompt"] == "Judge."
    assert agent.runner_source == "agent_inline"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"runner": WS}, {"runner": WS}, True),
        ({"runner": WS}, {"runner": {**WS, "tools": []}}, False),
        ({"runner": WS}, {"runner_ref": "r"}, False),
        ({"runner": WS}, {"runner": WS, "profile": {"system_prompt": "x"}}, True),
        (
            {"runner": WS},
            {"runner": WS, "meta": {"context_policy": {"exclude": ["run_id"]}}},
            False,
        ),
    ],
)
def test_the_digest_names_the_snapshot(one: Any, other: Any, same: bool) -> None:
    runners = [{"name": "r", "runner": WS}]
    digests = [bound(operator(**row), runners=runners).digest() for row in (one, other)]
    assert (digests[0] == digests[1]) is same
    assert all(len(text) == 71 and text.startswith("sha256:") for text in digests)


def test_a_bind_request_has_sorted_tools_and_its_target() -> None:
    runner = {**WS, "tools": ["b", "a", "b"]}
    agent = operator(runner=runner, profile={"model": "m"})
    [request] = bind_requests(read_blueprint(document(agent)).bound)
    assert request.to_json() == {
        "agent": "critic",
        "request_digest": bound(agent).digest(),
        "backend": "ws_operator",
        "binding_target": "desk",
        "requested_model": "m",
        "requested_tools": ["a", "b"],
        "launch_variant": "reviewer",
    }


def names(steps: list[Any], **projected: str) -> tuple[dict[str, str], list[str]]:
    refs = dict.fromkeys(row["ref"] for row in steps)
    agents = [
        {
            "name": ref,
            "kind": "lua",
            "spec": {"source": "return 1"},
            "meta": {"projection_name": projected.get(ref)},
        }
        for ref in refs
    ]
    value = {"id": "n", "flow": {"kind": "seq", "children": steps}, "agents": agents}
    view = read_blueprint(value)
    found = lint_blueprint(value).diagnostics
    levels = [str(one.level) for one in found if one.kind == "step-naming-collision"]
    return dict(view.names.names), levels


def test_each_shape_of_names_is_distinguished() -> None:
    both = [step("a", lit(1), "$.r.a"), step("b", lit(1), "$.r.b")]
    assert names(both) == ({"a": "a", "b": "b"}, [])
    one = [step("a", lit(1), "$.r"), step("b", lit(1), "$.r")]
    assert names(one) == ({"a": "a", "b": "b", "r": "a"}, ["Info"])
    own = [step("a", lit(1), "$.r"), step("r", lit(1), "$.r")]
    assert names(own) == ({"a": "a", "r": "r"}, ["Info"])
    weak = [step("r", lit(1), "$.q"), step("b", lit(1), "$.r.x")]
    assert names(weak) == ({"r": "r", "q": "r", "b": "b"}, [])
    named = [step("a", lit(1), "$.q"), step("b", lit(1), "$.r.x")]
    assert names(named, a="r") == ({"a": "r", "r": "r", "q": "r", "b": "b"}, [])
    alone = [step("a", lit(1), "$.r.x"), step("b", lit(1), "$.q")]
    assert names(alone) == ({"a": "a", "r": "a", "b": "b", "q": "b"}, [])
    clash = [step("a", lit(1), "$.q"), step("b", lit(1), "$.p")]
    assert names(clash, a="r", b="r")[1] == ["Error"]


def test_all_visits_of_one_ref_are_one_claim() -> None:
    twice = [
        step("a", lit(1), "$.r"),
        step("a", lit(1), "$.r"),
        step("a", lit(1), "$.q"),
    ]
    assert names(twice) == ({"a": "a", "r": "a", "q": "a"}, [])
