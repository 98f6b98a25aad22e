"""Tests of engine/blueprint/schema/subprocess_template.py and placeholders.py."""

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.blueprint.schema.placeholders import PLACEHOLDERS, fill, placeholders_in


def document(agent, **more):
    row = {"name": "child", "kind": "subprocess", **agent}
    flow = {"kind": "seq", "children": []}
    return {"id": "b", "flow": flow, "agents": [row], **more}


def compiled(agent, **more):
    kinds = ["subprocess", "python_fn"]
    return compile_blueprint(document(agent, **more), kinds=kinds).agents["child"]


def findings(agent, **more):
    with pytest.raises(BlueprintInvalid) as caught:
        compiled(agent, **more)
    return [
        (f.place, f.kind, f"{f.message}; {f.help}") for f in caught.value.diagnostics
    ]


def test_every_placeholder_of_the_set_compiles():
    words = ["cli", *(f"{{{name}}}" for name in PLACEHOLDERS)]
    assert compiled({"spec": {"argv": words}}).spec["argv"] == words


@pytest.mark.parametrize(
    ("spec", "place", "words"),
    [
        ({"argv": ["a", "{promt}"]}, ".argv[1]", "did you mean {prompt}?"),
        ({"argv": ["a", "{promt}"]}, ".argv[1]", "as text write {{promt}}"),
        ({"argv": ["a", "{zzzzzz}"]}, ".argv[1]", "known: {system}, {system_file}"),
        ({"argv": ["a"], "stdin": "{x_y}"}, ".stdin", "unknown placeholder {x_y}"),
        ({"argv": ["a"], "cwd": "{workdir}"}, ".cwd", "did you mean {work_dir}?"),
        ({"argv": ["a"], "env": {"A": "{b}"}}, ".env.A", "unknown placeholder {b}"),
        ({"program": "a", "env": {"A": "{b}"}}, ".env.A", "unknown placeholder {b}"),
        ({"argv": ["{prompt}"]}, "", "argv[0] must not contain {prompt}"),
        ({"argv": [""]}, "", "argv[0] must name a program"),
        ({"argv": []}, ".argv", "least 1"),
        ({"argv": ["a", 5]}, ".argv[1]", "expected a string, got 5"),
        ({"argv": ["a\0"]}, ".argv[0]", "expected a string that matches"),
        ({"program": "a", "args": ["b", None]}, ".args[1]", "expected a string"),
        ({"program": "a", "argv": ["b"]}, "", "unknown field 'argv'"),
        ({"argv": ["a"], "args": []}, "", "unknown field 'args'"),
        ({}, "", "missing field 'program'"),
        ({"program": "a", "use_stdn": False}, "", "did you mean 'use_stdin'?"),
        (
            {"program": "a", "stream_mode": "ndjson"},
            ".stream_mode",
            "did you mean 'ndjson_lines'?",
        ),
        (
            {"program": "a", "stream_mode": "sse_events", "output": {}},
            "",
            "output and stream_mode exclude each other",
        ),
        ({"program": "a", "output": {"format": "xml"}}, ".output.format", "'json'"),
        (
            {"program": "a", "output": {"result_ptr": "a"}},
            ".output.result_ptr",
            "match",
        ),
        ({"program": "a", "output": {"result_ptr": "/~2"}}, ".output.result_ptr", ""),
        (
            {"program": "a", "output": {"ok_from": "exit"}},
            ".output.ok_from",
            "exit_code",
        ),
        (
            {"program": "a", "output": {"stats": {"usage": ""}}},
            ".output.stats",
            "usage_p",
        ),
        (
            {"program": "a", "env": {"SWARM_RUN_ID": "x"}},
            "",
            "must not set SWARM_RUN_ID",
        ),
        ({"program": "a", "env": {"MSE_TOKEN": "x"}}, "", "must not set MSE_TOKEN"),
        ({"program": "a", "limits": {"cpu_s": 0}}, ".limits.cpu_s", "more than 0"),
        ({"program": "a", "limits": {"cpu": 1}}, ".limits", "did you mean 'cpu_s'?"),
        ({"program": "a", "cwd": ""}, ".cwd", "least 1"),
    ],
)
def test_a_faulty_spec_is_reported_with_its_place(spec, place, words):
    [found] = {(place, text) for place, _, text in findings({"spec": spec})}
    assert found[0] == f"$.agents[0].spec{place}"
    assert words in found[1]


def test_an_environment_name_is_checked():
    [(place, code, text)] = findings({"spec": {"program": "a", "env": {"A=B": "c"}}})
    assert place == '$.agents[0].spec.env["A=B"]'
    assert (code, "matches" in text) == ("invalid-agent-spec", True)


RUNNER = {"backend": "subprocess", "template": "llm"}
LLM = {"name": "llm", "argv": ["cli", "{model}"], "stdin": "{prompt}"}


def test_a_runner_takes_its_template_into_the_program():
    overrides = {"model": "m", "tools": ["t"], "cwd": "{work_dir}"}
    agent = compiled(
        {"runner": {**RUNNER, "overrides": overrides}},
        subprocesses=[{**LLM, "output": {"result_ptr": "/text"}}],
    )
    spec = agent.spec
    assert spec["argv"] == ["cli", "{model}"]
    assert spec["stdin"] == "{prompt}"
    assert (spec["model"], spec["tools"], spec["cwd"]) == ("m", ["t"], "{work_dir}")
    assert spec["output"]["result_ptr"] == "/text"
    assert "name" not in spec


def test_another_template_is_another_program():
    one = document({"runner": RUNNER}, subprocesses=[LLM])
    two = document({"runner": RUNNER}, subprocesses=[{**LLM, "stdin": "{system}"}])
    ids = {compile_blueprint(d, kinds=["subprocess"]).program_id for d in (one, two)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("agent", "more", "place", "code", "words"),
    [
        (
            {"runner": {**RUNNER, "template": "lm"}},
            {"subprocesses": [LLM]},
            "$.agents[0].runner.template",
            "invalid-agent-spec",
            "no template is named 'lm'",
        ),
        (
            {"runner": RUNNER},
            {},
            "$.agents[0].runner.template",
            "invalid-agent-spec",
            "add it to $.subprocesses",
        ),
        (
            {"runner": RUNNER, "spec": {"program": "a"}},
            {"subprocesses": [LLM]},
            "$.agents[0].spec",
            "invalid-agent-spec",
            "takes its spec from the template",
        ),
        (
            {"runner": RUNNER},
            {"subprocesses": [LLM, LLM]},
            "$.subprocesses[1].name",
            "duplicate-name",
            "is taken by $.subprocesses[0]",
        ),
        (
            {"runner": {**RUNNER, "backend": "subproces"}},
            {},
            "$.agents[0].runner.backend",
            "wrong-value",
            "did you mean 'subprocess'?",
        ),
        (
            {"runner": RUNNER},
            {"subprocesses": [{**LLM, "argv": ["cli", "{modl}"]}]},
            "$.subprocesses[0].argv[1]",
            "wrong-value",
            "did you mean {model}?",
        ),
    ],
)
def test_a_faulty_runner_or_template_is_reported(agent, more, place, code, words):
    [(found, where, text)] = findings(agent, **more)
    assert (found, where) == (place, code)
    assert words in text


def test_filling_is_one_pass_and_leaves_other_braces():
    text = '{a}{{a}}{"x":{b}}{B}{}{a b}'
    assert placeholders_in(text) == ["a", "b"]
    assert fill(text, {"a": "{b}{{b}}", "b": "{a}"}) == (
        '{b}{{b}}{a}{"x":{a}}{B}{}{a b}'
    )
