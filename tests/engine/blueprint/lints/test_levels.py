"""Tests of engine/blueprint/lints/levels.py: the nearest layer with a level decides."""

from typing import Any

import pytest

from engine.blueprint import Level, LintOptions, lint_blueprint

KIND = "missing-timeout"  # a warning of category suspicious
OTHER = "agent-md-size"


def level(
    call: dict[str, str], agent: dict[str, str], whole: dict[str, str]
) -> Level | str:
    document: Any = {
        "id": "l",
        "flow": {"kind": "seq", "children": []},
        "agents": [
            {
                "name": "cat",
                "kind": "subprocess",
                "spec": {"program": "cat"},
                "lints": agent,
            }
        ],
        "metadata": {"lints": whole},
    }
    report = lint_blueprint(document, options=LintOptions(lints=call))
    for found in report.diagnostics:
        if found.kind == KIND:
            return found.level
    [kept] = [one for one in report.suppressed if one.diagnostic.kind == KIND]
    assert kept.to_json()["span"]["json_path"] == "$.agents[0]"
    return kept.source


@pytest.mark.parametrize(
    ("call", "agent", "whole", "expected"),
    [
        ({}, {}, {}, Level.WARN),
        ({}, {}, {KIND: "deny"}, Level.ERROR),
        ({}, {}, {KIND: "allow"}, "blueprint"),
        ({}, {KIND: "allow"}, {KIND: "deny"}, "agent:cat"),
        ({KIND: "WARN"}, {KIND: "allow"}, {KIND: "deny"}, Level.WARN),
        ({KIND: "Allow"}, {}, {}, "call-site"),
        ({}, {"all": "allow"}, {KIND: "deny"}, "agent:cat"),
        ({}, {"category:Suspicious": "allow", "all": "deny"}, {}, "agent:cat"),
        ({}, {"category:suspicious": "allow", KIND: "deny"}, {}, Level.ERROR),
        ({}, {"category:style": "allow"}, {KIND: "deny"}, Level.ERROR),
        ({}, {OTHER: "allow"}, {}, Level.WARN),
        ({KIND: "nothing"}, {}, {KIND: "deny"}, Level.ERROR),
    ],
)
def test_layers_and_keys(
    call: dict[str, str],
    agent: dict[str, str],
    whole: dict[str, str],
    expected: Level | str,
) -> None:
    assert level(call, agent, whole) == expected


def test_the_verdict_of_a_report_is_its_worst_level() -> None:
    flow = {"kind": "seq", "children": []}
    assert lint_blueprint({"id": "v", "flow": flow}).verdict == "OK"
    agent = {"name": "cat", "kind": "subprocess", "spec": {"program": "cat"}}
    value: Any = {"id": "v", "flow": flow, "agents": [agent]}
    assert lint_blueprint(value).verdict == "WARN"
    value["metadata"] = {"lints": {"all": "deny"}}
    assert lint_blueprint(value).verdict == "BLOCK"
    assert lint_blueprint({"id": "v"}).verdict == "BLOCK"
