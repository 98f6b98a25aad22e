"""Tests of engine/blueprint/compiler.py, with the schema and its errors."""

import copy
from typing import Any

import pytest
from blueprint_findings import refused

from engine.blueprint import BlueprintInvalid, Diagnostic, Retry, compile_blueprint
from engine.blueprint.findings.diagnostics import Element

KINDS = ("python_fn", "subprocess")


def step(ref="greet"):
    path = {"op": "path", "at": "$.name"}
    return {"kind": "step", "ref": ref, "in": path, "out": path}


def document(**changes):
    base = {
        "id": "hello",
        "flow": {"kind": "seq", "children": [step()]},
        "agents": [{"name": "greet", "kind": "python_fn", "spec": {"fn_id": "f"}}],
    }
    return {**copy.deepcopy(base), **changes}


def agents(*rows):
    return document(agents=[document()["agents"][0], *rows])


def hints(**fields):
    return document(hints={"per_agent": {"greet": fields}})


def findings(value):
    return refused(value, kinds=KINDS)


def test_a_small_blueprint_compiles():
    program = compile_blueprint(
        document(
            default_init_ctx={"name": "you"},
            metadata={"default_run_ttl_secs": 60, "tags": ["demo"]},
        ),
        kinds=KINDS,
    )

    assert program.blueprint_id == "hello"
    assert program.default_init_ctx == {"name": "you"}
    assert program.run_deadline_s == 60
    agent = program.agents["greet"]
    assert (agent.kind, agent.queue) == ("python_fn", "swarm.python_fn")
    assert agent.timeout_ms is None
    assert agent.retry == Retry()
    assert agent.spec == {"fn_id": "f"}


def test_rust_fn_is_python_fn():
    value = document(
        agents=[{"name": "greet", "kind": "rust_fn", "spec": {"fn_id": "f"}}]
    )
    program = compile_blueprint(value, kinds=KINDS)

    assert program.agents["greet"].kind == "python_fn"
    assert program.program_id == compile_blueprint(document(), kinds=KINDS).program_id


def test_a_spec_gets_its_defaults():
    row = {"name": "cat", "kind": "subprocess", "spec": {"program": "cat"}}
    program = compile_blueprint(agents(row), kinds=KINDS)

    spec = program.agents["cat"].spec
    assert (spec["program"], spec["args"], spec["use_stdin"]) == ("cat", [], True)
    assert program.agents["cat"].queue == "swarm.subprocess"


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        ({}, "swarm.python_fn"),
        ({"priority": "std"}, "swarm.python_fn"),
        ({"priority": "hi"}, "swarm.python_fn.hi"),
        ({"queue": "gpu"}, "gpu"),
        ({"queue": "gpu", "priority": "lo"}, "gpu.lo"),
    ],
)
def test_hints_choose_the_queue(fields, queue):
    program = compile_blueprint(hints(**fields), kinds=KINDS)

    assert program.agents["greet"].queue == queue


def test_hints_set_the_policy_in_milliseconds():
    retry = {
        "max_attempts": 3,
        "base_s": 0.5,
        "cap_s": 60,
        "jitter": 0,
        "budget_s": 300,
    }
    program = compile_blueprint(
        hints(timeout_s=0.0001, retry={**retry, "not": ["ValueError"]}), kinds=KINDS
    )

    assert program.agents["greet"].timeout_ms == 1
    assert program.agents["greet"].retry == Retry(
        max_attempts=3,
        base_ms=500,
        cap_ms=60_000,
        jitter=0,
        budget_ms=300_000,
        never=("ValueError",),
    )


def test_the_program_does_not_change_with_the_document():
    value = document()
    program = compile_blueprint(value, kinds=KINDS)
    before = program.program_id
    value["flow"]["children"].clear()
    value["agents"][0]["spec"]["fn_id"] = "g"

    again = compile_blueprint(document(), kinds=KINDS)
    assert program == again
    assert again.program_id == before


def test_the_place_of_a_flow_error_is_one_in_the_document():
    bad = {"kind": "branch", "cond": {"op": "pth"}, "then": step(), "else": step()}
    flow = {"kind": "seq", "children": [step(), step(), bad]}

    [found] = findings(document(flow=flow))

    assert found.place == "$.flow.children[2].cond.op"
    assert found.kind == "invalid-flow"
    assert found.help == "did you mean 'path'?"


@pytest.mark.parametrize(
    ("spot", "place", "message", "hint"),
    [
        (
            {"op": "path", "at": "text"},
            "$.flow.in.at",
            "invalid path syntax 'text': path must start",
            "did you mean '$.text'?",
        ),
        (
            {"op": "path", "at": "two words"},
            "$.flow.in.at",
            "invalid path syntax 'two words': path must start",
            "",
        ),
        (
            "$.text",
            "$.flow.in",
            "expected an object with 'op', got a string",
            'write {"op": "path", "at": "$.text"}',
        ),
        (
            "text",
            "$.flow.in",
            "expected an object with 'op', got a string",
            'write {"op": "lit", "value": "text"}',
        ),
        ("x" * 81, "$.flow.in", "expected an object with 'op', got a string", ""),
    ],
)
def test_a_path_written_as_text_is_reported_with_the_right_form(
    spot: Any, place: str, message: str, hint: str
):
    [found] = findings(document(flow={**step(), "in": spot}))

    assert (found.place, found.help) == (place, hint)
    assert found.message.startswith(message)


def test_a_step_without_an_agent_is_found_at_any_depth():
    lost = step("gret")
    flow = {
        "kind": "try",
        "body": {"kind": "seq", "children": [step(), lost]},
        "catch": step("nobody"),
    }

    first, second = findings(document(flow=flow))

    assert first == Diagnostic(
        "$.flow.body.children[1].ref",
        "unresolved-agent-ref",
        "step names the agent 'gret', which does not exist",
        "did you mean 'greet'?",
        notes=("defined: greet",),
        element=Element("Step", "gret"),
    )
    assert second.place == "$.flow.catch.ref"


def test_data_in_the_flow_that_looks_like_a_step_is_not_one():
    value = {"op": "lit", "value": {"kind": "step", "ref": "nobody", "body": step("x")}}
    flow = {"kind": "assign", "at": {"op": "path", "at": "$.a"}, "value": value}

    assert compile_blueprint(document(flow=flow), kinds=KINDS)


def test_all_findings_are_reported_at_once_and_in_one_text():
    value = document(
        agents=[
            {"name": "greet", "kind": "lua"},
            {"name": "greet", "kind": "python_fn", "spec": {"fnid": "f"}},
            {"name": "cat", "kind": "subproces"},
            {"name": "dog", "kind": "subprocess"},
        ],
        hints={"per_agent": {"gret": {}}},
    )

    found = findings(value)

    assert [(one.place, one.kind) for one in found] == [
        ("$.agents[1].name", "duplicate-agent-name"),
        ("$.agents[2].kind", "unknown-agent-kind"),
        ("$.agents[0].kind", "kind-without-spawner"),
        ("$.agents[1].spec", "invalid-agent-spec"),
        ("$.agents[3]", "invalid-agent-spec"),
        ("$.hints.per_agent.gret", "hint-without-agent"),
    ]
    assert found[2].help == "kinds with a spawner here: python_fn, subprocess"
    assert found[1].help.startswith("did you mean 'subprocess'?")
    assert str(BlueprintInvalid(found)).splitlines()[3] == (
        "$.agents[1].spec: unknown field 'fnid'; did you mean 'fn_id'?"
        " [invalid-agent-spec]"
    )


@pytest.mark.parametrize(
    ("value", "place", "code", "words"),
    [
        (5, "$", "wrong-type", "expected an object, got 5"),
        (
            {"flow": {"kind": "seq", "children": []}},
            "$",
            "missing-field",
            "missing field 'id'",
        ),
        (document(agnts=[]), "$", "unknown-field", "did you mean 'agents'?"),
        (document(id="a b"), "$.id", "wrong-value", "that matches ^[A-Za-z0-9]"),
        (document(id="a\n"), "$.id", "wrong-value", "got 'a\\n'"),
        (document(id="a" * 129), "$.id", "wrong-value", "that matches"),
        (document(schema_version="1"), "$.schema_version", "wrong-value", "matches"),
        (
            document(agents=None),
            "$.agents",
            "wrong-type",
            "expected an array, got null",
        ),
        (
            agents({"name": "", "kind": "lua"}),
            "$.agents[1].name",
            "wrong-value",
            "least 1",
        ),
        (
            hints(prioriti="hi"),
            "$.hints.per_agent.greet",
            "unknown-field",
            "'priority'",
        ),
        (
            hints(priority="high"),
            "$.hints.per_agent.greet.priority",
            "wrong-value",
            "expected 'hi', 'std' or 'lo', got 'high'; did you mean 'hi'?",
        ),
        (hints(queue="Q"), "$.hints.per_agent.greet.queue", "wrong-value", "matches"),
        (
            hints(timeout_s=0),
            "$.hints.per_agent.greet.timeout_s",
            "wrong-value",
            "expected more than 0, got 0",
        ),
        (
            hints(timeout_s=True),
            "$.hints.per_agent.greet.timeout_s",
            "wrong-type",
            "expected a number, got true",
        ),
        (
            hints(retry={"max_attempts": 0}),
            "$.hints.per_agent.greet.retry.max_attempts",
            "wrong-value",
            "expected at least 1, got 0",
        ),
        (
            hints(retry={"max_attempts": 100}),
            "$.hints.per_agent.greet.retry.max_attempts",
            "wrong-value",
            "expected at most 99, got 100",
        ),
        (
            hints(retry={"never": []}),
            "$.hints.per_agent.greet.retry",
            "unknown-field",
            "known: base_s, budget_s, cap_s, jitter, max_attempts, not",
        ),
        (
            hints(retry={"base_s": 5, "cap_s": 1}),
            "$.hints.per_agent.greet.retry",
            "wrong-value",
            "cap_s must not be less than base_s",
        ),
        (
            document(strategy={"strict_refs": 0}),
            "$.strategy.strict_refs",
            "wrong-type",
            "expected true or false, got 0",
        ),
        (
            document(metadata={"default_run_ttl_secs": 1.5}),
            "$.metadata.default_run_ttl_secs",
            "wrong-type",
            "expected an integer, got 1.5",
        ),
        (document(default_init_ctx={1}), "$.default_init_ctx", "not-json", "set"),
        (document(default_init_ctx=float("nan")), "$.default_init_ctx", "not-json", ""),
    ],
)
def test_a_wrong_document_is_refused_at_its_place(value, place, code, words):
    [found] = findings(value)

    assert (found.place, found.kind) == (place, code)
    assert words in str(found)


def test_an_agent_called_like_a_field_does_not_confuse_the_suggestion():
    value = document(hints={"per_agent": {"retry": {"prioriti": "hi"}}})

    [found] = findings(value)

    assert found.help == "did you mean 'priority'?"


def test_integers_beyond_64_bits_become_floats_as_in_json_text():
    program = compile_blueprint(document(default_init_ctx=2**70), kinds=KINDS)

    assert program.default_init_ctx == float(2**70)
    assert isinstance(program.default_init_ctx, float)


def test_a_finding_is_json_for_programs():
    [found] = findings(document(agnts=[]))

    assert found.to_json() == {
        "kind": "unknown-field",
        "stage": {"type": "CompileLint"},
        "level": "Error",
        "message": "unknown field 'agnts'",
        "notes": [],
        "help": "did you mean 'agents'?",
        "suggestion": None,
        "docs_ref": {"uri": "docs/lints.md", "anchor": "unknown-field"},
        "span": {"element": None, "json_path": "$"},
    }
