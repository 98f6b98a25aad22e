"""Findings have the line and column of the part of the file that they are about."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blueprints.authoring.answer import finding_lines
from blueprints.conf import lua_host
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import load_document
from blueprints.loaders.positions import with_positions
from engine.blueprint.findings.diagnostics import Diagnostic, place_in, resolve_place

LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | LETTERS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(LETTERS, inner, max_size=4)
    ),
    max_leaves=12,
)


def places_in(value: Any, place: str = "$") -> list[str]:
    """Return the places of a value and of all parts of it."""
    found = [place]
    parts = value.items() if isinstance(value, dict) else ()
    for key, part in [*parts, *(enumerate(value) if isinstance(value, list) else ())]:
        found += places_in(part, place_in(place, [key]))
    return found


def positions(path: Path, *places: str, key: str = "") -> list[tuple[int, int]]:
    """Return line and column of places in a file."""
    found = with_positions(path, [Diagnostic(one, "k", "m", key=key) for one in places])
    return [(one.position.line, one.position.column) for one in found if one.position]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    document=st.dictionaries(LETTERS, VALUES, max_size=4),
    indent=st.sampled_from([None, 3]),
)
def test_the_value_of_each_place_begins_at_its_position(tmp_path, document, indent):
    text = "\n " + json.dumps(document, indent=indent, ensure_ascii=False)
    rows = text.split("\n")
    for name in ("a.json", "a.yaml"):
        path = tmp_path / name
        path.write_text(text)
        try:
            document = load_document(path)
        except Exception:
            # Not all JSON is YAML.
            assert name == "a.yaml"
            continue
        places = places_in(document)
        found = positions(path, *places)
        assert len(found) == len(places)
        for place, (line, column) in zip(places, found, strict=True):
            value = resolve_place(document, place)
            begins = {list: "[", dict: "{"}.get(type(value))
            begins = begins or json.dumps(value, ensure_ascii=False)
            assert rows[line - 1][column - 1 :].startswith(begins), place


YAML = """\
id: x
flow:
  kind: seq
  children:
  - kind: step
    in:
      op: lit
    out: $.x   # "quoted"
  - {kind: seq, children: [1, 'two']}
agents:
- $literal:
    name: one
- $agent_md: critic.md
"""


@pytest.mark.parametrize(
    ("place", "at"),
    [
        ("$", (1, 1)),
        ("$.id", (1, 5)),
        ("$.flow", (2, 1)),
        ("$.flow.children[0]", (5, 5)),
        ("$.flow.children[0].in", (6, 5)),
        ("$.flow.children[0].in.op", (7, 11)),
        ("$.flow.children[0].out", (8, 10)),
        ("$.flow.children[1].children[1]", (9, 31)),
        ("$.agents[0].name", (12, 11)),
        ("$.agents[1].profile.tools[3]", (13, 14)),
        ("$.flow.children[0].cond", (5, 5)),
        ("$.nothing", (1, 1)),
    ],
)
def test_a_part_below_its_key_has_the_position_of_the_key(tmp_path, place, at):
    path = tmp_path / "a.yaml"
    path.write_text(YAML)
    assert positions(path, place) == [at]


def test_a_finding_about_a_key_has_the_position_of_the_key(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(YAML)
    assert positions(path, "$.flow.children[0]", key="out") == [(8, 5)]
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": 1,\n  "b": 2}}')
    assert positions(path, "$.a", key="b") == [(2, 3)]


LUA = """\
local F, B = require "flow_dsl", require "bp_dsl"
local function twice(name)
  return F.step { agent = name, input = F.lit(1), out = "$.x" }
end
return B.bp {
  flow = F.seq {
    twice "a",
    B.pipeline {
      B.stage "one" { agent = "x" },
      B.stage "two" {
        agent = "y" },
    },
  },
  agents = { { name = "a" }, B.agent {
    name = "b" } },
}
-- the end"""


def test_parts_of_a_script_have_the_lines_of_the_calls_that_made_them(tmp_path):
    path = tmp_path / "a.bp.lua"
    path.write_text(LUA)
    pipeline = "$.flow.children[1]"
    assert positions(
        path,
        "$.id",
        "$.flow.children[0].in.op",
        f"{pipeline}.children[0].ref",
        f"{pipeline}.children[1].children[0].ref",
        "$.agents[0].name",
        "$.agents[1].name",
    ) == [(5, 1), (3, 3), (9, 7), (10, 7), (5, 1), (14, 3)]
    lua_host().close()


def test_the_lines_of_a_script_change_nothing_in_its_document(tmp_path):
    path = tmp_path / "a.bp.lua"
    path.write_text(LUA)
    assert "line" not in json.dumps(load_blueprint(path).document)
    lua_host().close()


def test_a_file_that_has_changed_or_is_gone_gives_findings_without_positions(tmp_path):
    path = tmp_path / "a.yaml"
    assert positions(path, "$.id") == []
    path.write_text("a: [")
    assert positions(path, "$.id") == []
    path = tmp_path / "a.json"
    path.write_text('{"a": [')
    assert positions(path, "$.a[0]") == []


def test_a_line_is_quoted_with_a_caret_below_its_character(tmp_path):
    path = tmp_path / "a.json"
    text = '{"a":\t"\\u0041", "b": 1}'
    path.write_text(text)
    [found] = with_positions(path, [Diagnostic("$.b", "k", "m", help="h")])
    column = text.index("1}")
    assert list(finding_lines("f", found)) == [
        f"{path}:1:{column + 1}: error: m [k]",
        '     1 | {"a": "\\u0041", "b": 1}',
        f"       | {' ' * column}^ $.b",
        "  help: h",
    ]


def test_of_a_long_line_the_part_around_the_character_is_quoted(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "x" * 300, "b": "y" * 300}))
    [found] = with_positions(path, [Diagnostic("$.b", "k", "m")])
    _, row, caret = finding_lines("f", found)
    assert len(row) < 120
    assert row[caret.index("^")] == '"'
    assert row[caret.index("^") - 5 : caret.index("^")] == '"b": '
