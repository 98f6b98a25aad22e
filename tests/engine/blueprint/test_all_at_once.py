"""A document's findings are reported together; a stage waits only where it has to."""

from blueprint_findings import refused

from engine.blueprint import lint_blueprint

FLOW = {"kind": "seq", "children": [{"kind": "stp"}, {"kind": "lp"}]}
AGENT = {"name": "a", "kind": "pyton_fn", "spec": {}}


def test_the_faults_of_shape_and_flow_are_reported_together():
    found = refused({"id": "x", "agents": [{"nme": "a"}], "flow": FLOW})
    assert [one.kind for one in found if one.place.startswith("$.agents")] == [
        "missing-field",
        "unknown-field",
    ]
    assert [one.place for one in found if one.kind == "invalid-flow"] == [
        "$.flow.children[0].kind",
        "$.flow.children[1].kind",
    ]


def test_beside_a_broken_flow_the_agents_are_checked():
    document = {"id": "x", "schema_version": "0.1.0", "agents": [AGENT], "flow": FLOW}
    assert [one.kind for one in refused(document)] == [
        "invalid-flow",
        "invalid-flow",
        "unknown-agent-kind",
    ]
    kinds = {one.kind for one in lint_blueprint(document).diagnostics}
    assert {"invalid-flow", "unknown-agent-kind"} <= kinds


def step(agent):
    value, out = {"op": "lit", "value": 1}, {"op": "path", "at": "$.x"}
    return {"kind": "step", "ref": agent, "in": value, "out": out}


def test_agents_that_do_not_exist_are_reported_beside_a_broken_flow():
    nested = {
        "kind": "loop",
        "cond": 1,
        "body": {"kind": "seq", "children": [7, step("n")]},
    }
    flow = {
        "kind": "seq",
        "children": [{"kind": "stp"}, step("nobody"), nested, step("a")],
    }
    agents = [{"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}]
    document = {"id": "x", "schema_version": "0.1.0", "agents": agents, "flow": flow}
    wrong = ["$.flow.children[1].ref", "$.flow.children[2].body.children[1].ref"]

    def named():
        kind = "unresolved-agent-ref"
        return [one.place for one in refused(document) if one.kind == kind]

    assert named() == wrong
    assert {one.kind for one in refused(document)} == {
        "invalid-flow",
        "unresolved-agent-ref",
    }
    document["flw"] = 1
    assert named() == wrong
    # The name of an agent may be the one that can't be read, or it may be allowed.
    agents.append({"nme": "nobody"})
    assert named() == []
    del agents[-1]
    document["strategy"] = {"strict_refs": False}
    assert named() == []


def test_in_the_dialect_swarm_the_field_is_named_otherwise():
    steps = [
        {"kind": "step", "agent": name, "in": "$.x", "out": "$.y"} for name in "ab"
    ]
    flow = {"kind": "seq", "children": [*steps, {"kind": "stp"}]}
    agents = [{"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}]
    found = refused({"id": "x", "dialect": "swarm", "agents": agents, "flow": flow})
    assert [one.place for one in found] == [
        "$.flow.children[2].kind",
        "$.flow.children[1].agent",
    ]


def test_what_follows_the_flow_waits_for_its_faults():
    flow = {"kind": "seq", "children": [{"kind": "stp"}]}
    branch = {"kind": "branch", "cond": {"op": "lit", "value": 1}}
    flow["children"].append({**branch, "then": flow["children"][0], "else": step("a")})
    document = {"id": "x", "schema_version": "0.1.0", "agents": [], "flow": flow}
    kinds = {one.kind for one in lint_blueprint(document).diagnostics}
    assert "branch-cond-not-boolean" not in kinds
    flow["children"][0]["kind"] = "seq"
    flow["children"][0]["children"] = []
    kinds = {one.kind for one in lint_blueprint(document).diagnostics}
    assert "branch-cond-not-boolean" in kinds


def test_the_key_of_an_unknown_field_is_kept_for_its_position():
    found = refused(
        {"id": "x", "flw": 1, "flow": {"kind": "seq", "children": [], "x y": 1}}
    )
    assert [one.key for one in found if one.key] == ["flw", "x y"]
