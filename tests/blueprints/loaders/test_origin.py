"""The line of the Blueprint's file that an error of a run is about."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from blueprints.authoring.answer import error_lines
from blueprints.conf import lua_host
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.origin import origin_of, source_line

YAML = """
schema_version: 0.1.0
id: lines
dialect: swarm
flow:
  kind: seq
  children:
    - {kind: let, at: $.a, value: "1"}
    - kind: loop
      cond: $.more
      max: 9
      counter: $.i
      body:
        kind: fanout
        items: $.rows
        bind: $.row
        join: all
        select: $.row
        out: $.rows
        body:
          kind: seq
          children:
            - {kind: let, at: $.row, value: $.row + 1}
"""
JSON = """{
  "schema_version": "0.1.0", "id": "lines",
  "flow": {"kind": "seq", "children": [
    {"kind": "let", "at": "$.a",
     "value": {"op": "lit", "value": 1}},
    {"kind": "let", "at": "$.b", "value": {"op": "lit", "value": 1}}
  ]}
}"""
LUA = """
local B, F = require "bp_dsl", require "flow_dsl"
return B.bp {
  id = "lines",
  flow = F.seq {
    F.assign { at = "$.a", value = F.lit(1) },
    F.assign { at = "$.b", value = F.lit(2) },
  },
}
"""
PYTHON = """
from engine.build import Blueprint, ctx, let, seq

blueprint = Blueprint("lines", seq(
    let(ctx.a, 1),
    let(ctx.b, 2),
))
"""


@pytest.fixture
def written(tmp_path: Path, settings: Any):
    """Write a file in the project's folder and return what is kept of its origin."""
    settings.SWARM_PROJECT_DIR = tmp_path

    def write(name: str, text: str) -> tuple[Path, Any]:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path, origin_of(load_blueprint(path))

    yield write
    lua_host().close()


@pytest.mark.parametrize(
    ("place", "line", "row"),
    [
        ("/children/0", 7, "- {kind: let, at: $.a"),
        ("/children/1", 8, "- kind: loop"),
        ("/children/1/body[3]/lane[800]/children/0", 22, "- {kind: let, at: $.row"),
        ("", 4, "flow:"),
    ],
)
def test_the_place_of_an_error_has_its_line_in_yaml(
    written: Any, place: str, line: int, row: str
) -> None:
    path, origin = written("lines.yaml", YAML)
    found = source_line(origin, place)
    assert found.position.file == str(path)
    assert found.position.line == line
    assert found.position.row.strip().startswith(row)


@pytest.mark.parametrize(
    ("name", "text", "line", "row"),
    [
        ("lines.json", JSON, 6, '{"kind": "let", "at": "$.b"'),
        ("lines.bp.lua", LUA, 6, 'F.assign { at = "$.b"'),
        ("lines_of_builder.py", PYTHON, 5, "let(ctx.b, 2),"),
    ],
)
def test_each_form_of_a_blueprint_has_lines(
    written: Any, name: str, text: str, line: int, row: str
) -> None:
    _, origin = written(name, text)
    found = source_line(origin, "/children/1")
    assert found.position.line == line
    assert found.position.row.strip().startswith(row)
    # Only scripts, which nobody runs to look at a run, have their lines kept.
    assert ("lines" in origin) == name.endswith((".lua", ".py"))


def test_no_line_is_shown_of_a_file_that_has_changed_or_is_gone(written: Any) -> None:
    path, origin = written("lines.yaml", YAML)
    path.write_text("# one line more\n" + path.read_text())
    found = source_line(origin, "/children/0")
    assert found.position is None
    assert found.to_json() == {
        "file": str(path),
        "fault": "the file has changed since the run was launched",
    }
    path.unlink()
    found = source_line(origin, "/children/0")
    assert found.fault == "the file can't be read any more"


def test_a_run_without_a_file_has_no_line() -> None:
    assert source_line(None, "/children/0") is None
    assert source_line({"file": 1}, "/children/0") is None


def test_of_a_long_line_the_part_around_the_node_is_kept(written: Any) -> None:
    init = {"password": "hunter2", "text": "x" * 100_000}
    document = {**json.loads(JSON), "default_init_ctx": init}
    order = ("schema_version", "id", "default_init_ctx", "flow")
    path, origin = written(
        "one_line.json", json.dumps({key: document[key] for key in order})
    )
    shown = source_line(origin, "/children/1").to_json()
    assert len(shown["row"]) <= 400 < 100_000 < shown["column"]
    assert "hunter2" not in shown["row"]
    whole, column = path.read_text(), shown["column"] - shown["row_column"]
    assert shown["row"] == whole[shown["row_column"] - 1 :][: len(shown["row"])]
    assert shown["row"][column:].startswith('{"kind": "let", "at": "$.b"')
    lines = list(error_lines({"source": shown}))
    assert lines[1] == f"{path}:1:{shown['column']}"
    caret = lines[3].index("^")
    assert lines[2][caret:].startswith('{"kind": "let"')


@pytest.mark.parametrize("name", ["large.yaml", "large.json"])
def test_no_line_is_searched_in_a_large_file(written: Any, name: str) -> None:
    text = YAML if name.endswith(".yaml") else JSON
    path, origin = written(name, text + "\n" * 128 * 1024)
    assert source_line(origin, "/children/1").to_json() == {
        "file": str(path),
        "fault": "its line isn't searched beyond 128 KiB of YAML or JSON",
    }
    path, origin = written(name, text + "\n" * 120 * 1024)
    assert source_line(origin, "/children/1").position is not None


def test_a_large_script_has_its_lines(written: Any) -> None:
    _, origin = written("large.bp.lua", LUA + "\n" * 128 * 1024)
    assert source_line(origin, "/children/1").position.line == 6
