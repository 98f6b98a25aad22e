"""Tests of blueprints/loaders/agent_md.py: the format of agents/*.md."""

import re

import pytest

from blueprints.loaders.agent_md import (
    AgentMdInvalid,
    load_agents,
    prompt_hash,
    read_agent_md,
)

WHOLE = b"""---
name: critic                       # required
description: "  Reviews drafts "
model: small
effort: high
tools: Read, Grep, ,  Bash
worker_binding: reviewer
lints:
  agent-md-size: allow
expected_output: {kind: literal_enum, pattern: [ACCEPT, REJECT]}
---
Say what is wrong.
  --- not a line of its own
"""


def refused(content, code):
    with pytest.raises(AgentMdInvalid) as caught:
        read_agent_md(content, "operator")
    assert caught.value.code == code
    return str(caught.value)


def test_every_field_goes_where_it_belongs():
    prompt = "Say what is wrong.\n  --- not a line of its own\n"

    assert read_agent_md(WHOLE, "agent_block") == {
        "name": "critic",
        "kind": "agent_block",
        "profile": {
            "system_prompt": prompt,
            "model": "small",
            "effort": "high",
            "description": "Reviews drafts",
            "worker_binding": "reviewer",
            "tools": ["Read", "Grep", "Bash"],
            "extras": {
                "expected_output": {
                    "kind": "literal_enum",
                    "pattern": ["ACCEPT", "REJECT"],
                }
            },
            "version_hash": prompt_hash(prompt),
        },
        "lints": {"agent-md-size": "allow"},
    }


def test_fields_without_a_value_are_left_out():
    agent = read_agent_md(b"---\nname: a\nmodel:\ntools: []\nlints: {}\n---\n", "lua")

    assert agent == {
        "name": "a",
        "kind": "lua",
        "profile": {"system_prompt": "", "version_hash": prompt_hash("")},
    }


def test_runner_and_verdict_are_extras():
    agent = read_agent_md(b"---\nname: a\nverdict: {values: [A]}\n---\n", "lua")

    assert agent["profile"]["extras"] == {"verdict": {"values": ["A"]}}
    assert "verdict" not in agent


def test_the_hash_is_that_of_the_body():
    assert (
        prompt_hash("abc")
        == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (b"---\nname: a\n---\n", ""),
        (b"---\nname: a\n---", ""),
        (b"---\nname: a\n---\n\n x ", "\n x "),
        (b"---\r\nname: a\r\n---\r\nx\r\ny", "x\r\ny"),
        (b"---\nname: a\n---\n---\nx", "---\nx"),
        (b"---\nname: a\n---\n\xc3\xa4\x00", "ä\x00"),
    ],
)
def test_the_body_is_kept_byte_for_byte(content, body):
    assert read_agent_md(content, "lua")["profile"]["system_prompt"] == body


@pytest.mark.parametrize("line", [b"-----", b"----", b"--- ", b"---x", b" ---"])
def test_s16_only_a_line_that_is_exactly_three_dashes_closes(line):
    text = refused(b"---\nname: a\n" + line + b"\nBody.\n", "unterminated")

    assert "a later line must be exactly ---" in text
    assert "(line 3 is not" in text


def test_s16_a_decorative_rule_in_a_text_does_not_reach_the_prompt():
    content = b'---\nname: a\nnote: "\n  -----\n  x"\n---\nBody.\n'
    agent = read_agent_md(content, "lua")

    assert agent["profile"]["system_prompt"] == "Body.\n"
    assert agent["profile"]["extras"] == {"note": " ----- x"}


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (b"", "no-front-matter", "must begin with a line that is exactly ---"),
        (b"\n---\nname: a\n---\n", "no-front-matter", "must begin"),
        (b"---", "no-front-matter", "must begin"),
        (b"----\nname: a\n---\n", "no-front-matter", "must begin"),
        (b"\xef\xbb\xbf---\nname: a\n---\n", "no-front-matter", "byte order mark"),
        (b"---\nname: a\n", "unterminated", "front matter has no end"),
        (b"---\nname: a\nb: [1\n---\n", "yaml", "line 4 column"),
        (b"---\nname: a\nname: b\n---\n", "yaml", "line 3 column 1: duplicate key"),
        (b"---\nname: a\nx: !!python/none 1\n---\n", "yaml", "is no JSON type"),
        (b"---\nname: \xff\n---\n", "utf-8", "byte 10: not UTF-8"),
        (b"---\n---\n", "missing-name", "has no name"),
        (b"---\n# nothing\n---\n", "missing-name", "has no name"),
        (b"---\n- a\n---\n", "missing-name", "must be a mapping"),
        (b"---\nname: 5\n---\n", "missing-name", "must be a text"),
        (b"---\nname: ''\n---\n", "missing-name", "must be a text"),
        (b"---\nname: a\nlints:\n---\n", "lints", "must be a mapping"),
        (b"---\nname: a\nlints: {x: Warn}\n---\n", "lints", "lints.x must be allow"),
        (b"---\nname: a\nlints: {x: [1]}\n---\n", "lints", "lints.x must be allow"),
        (b"---\nname: a\n---\n\xff", "utf-8", "byte 16: not UTF-8"),
    ],
)
def test_a_file_that_is_no_agent_is_refused(content, code, reason):
    assert reason in refused(content, code)


@pytest.mark.parametrize(
    "line",
    ["model: 5", "effort: true", "description: [x]", "worker_binding: {}", "tools: 7"],
)
def test_b15_a_field_of_a_wrong_type_is_refused_and_not_dropped(line):
    text = refused(f"---\nname: a\n{line}\n---\n".encode(), "wrong-type")

    assert line.partition(":")[0] in text


def test_tools_of_a_wrong_type_are_refused():
    assert "tools" in refused(b"---\nname: a\ntools: [a, 1]\n---\n", "wrong-type")


def test_a_folder_of_agents_is_read_in_order(tmp_path):
    (tmp_path / "b.md").write_text("---\nname: second\n---\n")
    (tmp_path / "a.md").write_text("---\nname: first\n---\n")
    (tmp_path / "README.md").write_text("# About\n")
    (tmp_path / "c.txt").write_text("---\nname: no\n---\n")

    assert [agent["name"] for agent in load_agents(tmp_path)] == [
        "first",
        "second",
    ]


def test_one_bad_agent_of_a_folder_is_reported_with_its_file(tmp_path):
    (tmp_path / "a.md").write_text("---\nname: first\n---\n")
    (tmp_path / "b.md").write_text("---\nmodel: x\n---\n")

    with pytest.raises(AgentMdInvalid, match=re.escape(f"{tmp_path / 'b.md'}: ")):
        load_agents(tmp_path)

    (tmp_path / "b.md").unlink()
    (tmp_path / "d.md").mkdir()
    with pytest.raises(AgentMdInvalid, match=r"d\.md: not a regular file"):
        load_agents(tmp_path)
