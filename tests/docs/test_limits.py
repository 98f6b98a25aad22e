"""docs/limits.md: every limit is on the page, and every test it names exists."""

import re
from pathlib import Path
from typing import Any

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.flow import evaluate, parse_node

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "limits.md"
SHOWN = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[^)]+)\)")
# Settings that bound something, by how their names end.
BOUND = re.compile(
    r"\bSWARM_(?:\w*(?:LIMIT|TIMEOUT|DEADLINE|BUDGET|BUDGET_S|WINDOW|BATCH|LOST|LEASE)"
    r"|CHILD_(?!ENV)\w+|LUA_(?:TIME|MEMORY|MEMORY_MAX))\b"
)


def rows() -> list[str]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| what |")]


@pytest.mark.parametrize("row", rows(), ids=[row[2:42] for row in rows()])
def test_a_limit_names_tests_that_exist(row: str) -> None:
    named = SHOWN.findall(row)
    assert named, "no test shows it"
    for test, path in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.M), test


@pytest.mark.parametrize("row", rows(), ids=[row[2:42] for row in rows()])
def test_a_limit_has_all_its_columns(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert all((cells[0], cells[2], cells[3]))


def test_every_setting_that_bounds_something_is_on_the_page() -> None:
    settings = (ROOT / "swarm_project" / "settings.py").read_text()
    table = "\n".join(rows())
    assert set(BOUND.findall(settings)) - set(BOUND.findall(table)) == set()
    assert len(set(BOUND.findall(settings))) > 10


def test_a_flow_that_loops_ends_at_its_max() -> None:
    at: Any = {"op": "path", "at": "$.n"}
    body = {"kind": "step", "ref": "inc", "in": at, "out": at}
    loop = {
        "kind": "loop",
        "counter": {"op": "path", "at": "$.i"},
        "cond": {"op": "lit", "value": True},
        "body": body,
        "max": 3,
    }
    ctx = evaluate(parse_node(loop), {"n": 0}, lambda ref, value: value + 1)
    assert ctx["n"] == 3
    with pytest.raises(Exception, match="4294967295"):
        parse_node({**loop, "max": 2**32})


def test_names_are_bounded() -> None:
    agent = {"name": "x" * 129, "kind": "python_fn", "spec": {"fn_id": "identity"}}
    document = {"id": "b", "flow": {"kind": "seq", "children": []}, "agents": [agent]}
    with pytest.raises(BlueprintInvalid, match=r"agents\[0\]\.name"):
        compile_blueprint(document, kinds=["python_fn"])
