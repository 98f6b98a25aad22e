"""A Program contains everything that a run needs; nothing is looked up again."""

import json
from typing import Any

from engine.blueprint import Program, compile_blueprint
from engine.run.chain.layout import Layout

ESSAY: Any = {
    "schema_version": "0.1.0",
    "id": "essay-desk",
    "flow": {
        "kind": "seq",
        "children": [
            {
                "kind": "step",
                "ref": "drafter",
                "in": {"op": "path", "at": "$.topic"},
                "out": {"op": "path", "at": "$.draft"},
            },
            {
                "kind": "step",
                "ref": "critic",
                "in": {"op": "path", "at": "$.draft"},
                "out": {"op": "path", "at": "$.review"},
            },
            {
                "kind": "branch",
                "cond": {
                    "op": "eq",
                    "lhs": {"op": "path", "at": "$.review.parts.verdict"},
                    "rhs": {"op": "lit", "value": "REJECT"},
                },
                "then": {
                    "kind": "assign",
                    "at": {"op": "path", "at": "$.halted_at"},
                    "value": {"op": "lit", "value": "critic"},
                },
                "else": {"kind": "seq", "children": []},
            },
        ],
    },
    "agents": [
        {
            "name": "drafter",
            "kind": "subprocess",
            "runner": {
                "backend": "subprocess",
                "template": "llm",
                "overrides": {"model": "small"},
            },
            "profile": {"system_prompt": "Draft two paragraphs."},
        },
        {
            "name": "critic",
            "kind": "operator",
            "spec": {"operator_ref": "editor"},
            "profile": {"system_prompt": "Judge.", "tools": ["Write"]},
            "runner_ref": "reviewer",
            "verdict": {"channel": "part", "values": ["ACCEPT", "REJECT"]},
            "meta": {
                "projection_name": "critique",
                "meta_ref": "house",
                "ctx": {"tone": "kind", "own": 1},
            },
            "lints": {"output-contract-missing": "allow"},
        },
    ],
    "operators": [{"name": "editor", "kind": "main_ai"}],
    "metas": [{"name": "house", "ctx": {"tone": "dry", "lang": "en"}}],
    "runners": [
        {
            "name": "reviewer",
            "runner": {"backend": "ws_operator", "variant": "r", "tools": ["Read"]},
        }
    ],
    "subprocesses": [
        {
            "name": "llm",
            "argv": ["llm-cli", "--model", "{model}"],
            "stdin": "{prompt}",
            "output": {"format": "json", "result_ptr": "/text"},
        }
    ],
    "audits": [{"agent": "critic", "steps": ["drafter"]}],
    "hints": {
        "per_agent": {
            "drafter": {
                "timeout_s": 60,
                "limit": {"key": {"op": "path", "at": "$.topic"}, "max": 2},
            }
        }
    },
    "spawner_hints": {"layers": ["main_ai"]},
    "default_agent_ctx": {"lang": "fr", "unit": "m"},
    "default_context_policy": {"exclude": ["run_id"]},
    "default_operator_kind": "composite",
    "projection_placement": {"dir_template": "out/{task_id}"},
    "check_policy": "strict",
    "degradation_policy": "fail",
    "strategy": {"strict_binding": True},
    "metadata": {
        "origin": {"kind": "file", "path": "essay.json", "read_by": "anything"},
        "project_name_alias": "essays",
        "default_run_ttl_secs": 60,
    },
}


def compiled() -> Program:
    return compile_blueprint(ESSAY)


def test_references_of_agents_are_resolved() -> None:
    drafter, critic = compiled().agents["drafter"], compiled().agents["critic"]
    assert drafter.spec["argv"] == ["llm-cli", "--model", "{model}"]
    assert drafter.spec["model"] == "small"
    assert drafter.profile is not None
    assert drafter.profile["system_prompt"] == "Draft two paragraphs."
    assert drafter.limit == {"key": {"op": "path", "at": "$.topic"}, "max": 2}
    assert drafter.ctx == {"lang": "fr", "unit": "m"}
    assert critic.runner == ESSAY["runners"][0]["runner"]
    assert critic.runner_source == "agent_ref"
    assert critic.profile is not None
    assert critic.profile["tools"] == ["Read"]
    assert critic.verdict == ESSAY["agents"][1]["verdict"]
    assert critic.ctx == {"tone": "kind", "own": 1, "lang": "en", "unit": "m"}
    assert critic.context_policy is not None
    assert critic.context_policy["exclude"] == ["run_id"]
    assert critic.binding_digest.startswith("sha256:")


def test_values_of_the_whole_run_are_there() -> None:
    program = compiled()
    assert program.layers == ("main_ai",)
    assert program.operators["editor"]["kind"] == "main_ai"
    assert program.default_operator_kind == "composite"
    assert program.metas == {"house": {"tone": "dry", "lang": "en"}}
    assert program.audits == (
        {"agent": "critic", "steps": ["drafter"], "mode": "async"},
    )
    assert program.step_names == {
        "draft": "drafter", "critic": "critique", "review": "critique",
    }  # fmt: skip
    assert program.projection == {
        "root": "work_dir", "dir_template": "out/{task_id}",
    }  # fmt: skip
    assert program.strict_binding
    assert (program.check_policy, program.degradation_policy) == ("strict", "fail")
    assert (program.project_name_alias, program.run_deadline_s) == ("essays", 60)


def test_a_full_program_survives_json_text_unchanged() -> None:
    program = compiled()
    back = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert back == program
    assert back.program_id == program.program_id
    assert len(Layout(back.flow).nodes) == 6


def test_another_word_that_a_run_could_notice_is_another_program() -> None:
    ids = {compiled().program_id}
    changes = [
        ("metas", [{"name": "house", "ctx": {}}]),
        ("audits", []),
        ("operators", [{"name": "editor"}]),
        ("check_policy", "warn"),
        ("default_agent_ctx", {"lang": "en"}),
        ("spawner_hints", {"layers": []}),
    ]
    for key, value in changes:
        ids.add(compile_blueprint({**ESSAY, key: value}).program_id)
    assert len(ids) == len(changes) + 1
