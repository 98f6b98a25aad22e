"""The guide of the Lua DSL: its example gives what it shows, its tables leave nothing out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.conf import lua_host
from blueprints.loaders.agent_md import read_agent_md
from blueprints.loaders.blueprint import load_blueprint
from engine.blueprint import compile_blueprint

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
TEXT = (GUIDES / "the-lua-dsl.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = """
local F, B = require "flow_dsl", require "bp_dsl"
local names = F.arr()
for prefix, module in pairs { F = F, B = B } do
  for name in pairs(module) do names[#names + 1] = prefix .. "." .. name end
end
return { names = names }
"""


@pytest.fixture(autouse=True)
def sandbox() -> Iterator[None]:
    """Ends the sandbox after each test."""
    yield
    lua_host().close()


def fenced(text: str, info: str) -> list[str]:
    return [found[2] for found in FENCE.finditer(text) if found[1] == info]


def test_the_example_gives_exactly_what_the_guide_shows(tmp_path: Path) -> None:
    [script] = fenced(TEXT, "lua blueprint")
    [shown] = fenced(TEXT, "json dsl")
    (tmp_path / "review.bp.lua").write_text(script)
    loaded = load_blueprint(tmp_path / "review.bp.lua")

    assert json.dumps(loaded.document, sort_keys=True) == json.dumps(
        json.loads(shown), sort_keys=True
    )
    assert loaded.warnings == ()
    assert compile_blueprint(loaded.document, kinds=["python_fn"]).agents


def test_the_tables_name_every_constructor_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.bp.lua").write_text(NAMES)
    known = set(load_blueprint(tmp_path / "a.bp.lua").document["names"])
    rows = re.findall(r"^\| (`.*?) \|", FENCE.sub("", TEXT), re.MULTILINE)
    named = set(re.findall(r"\b[FB]\.\w+", " ".join(rows)))

    assert named == known


def test_the_agent_of_the_guide_is_one() -> None:
    [text] = fenced((GUIDES / "write-a-blueprint.md").read_text(), "markdown")
    agent = read_agent_md(text.encode(), "operator")

    assert agent["profile"]["tools"] == ["Read", "Grep"]
    assert agent["profile"]["system_prompt"].startswith("Read the draft.")
    assert agent["lints"] == {"agent-md-size": "allow"}
