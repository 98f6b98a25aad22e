"""`manage.py blueprint upgrade`: older words in today's, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.blueprint import upgrade


def old(path: str = "$n") -> dict[str, Any]:
    """Return a flow in words of v0.1."""
    at = {"op": "path", "at": path}
    return {
        "kind": "branch",
        "cond": {"op": "le", "lhs": at, "rhs": {"op": "lit", "value": 1.0}},
        "then": {"kind": "seq", "children": []},
        "else": {"kind": "seq", "children": []},
    }


def test_it_shows_what_it_would_change_and_writes_nothing(say: Any, write: Any):
    path = write(flow=old())
    before = path.read_text()
    printed = say("upgrade", path)
    assert printed.code == 0
    assert f"{path}:$.flow.cond.op: info: 'le' is now 'lte'" in printed.out
    assert '-{"schema_version"' in printed.out
    assert '+{"schema_version"' in printed.out
    assert "2 changes; --write" in printed.err
    assert path.read_text() == before


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_written_it_is_the_upgraded_document_in_its_own_layout(
    say: Any, write: Any, indent: Any
):
    path = write(flow=old(), metadata={"description": "größer"})
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=False))
    printed = say("upgrade", path, "--write")
    assert (printed.code, "2 changes written" in printed.err) == (0, True)
    done = json.dumps(upgrade(document)[0], indent=indent, ensure_ascii=False)
    assert path.read_text() == done + "\n"
    again = say("upgrade", path, "--write")
    assert (again.out, "nothing to do" in again.err) == ("", True)
    assert path.read_text() == done + "\n"
    assert [one.name for one in path.parent.iterdir()] == ["b.json"]


def test_compact_ascii_json_stays_compact_ascii(say: Any, write: Any):
    path = write(flow=old(), metadata={"description": "größer"})
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, separators=(",", ":")))
    assert say("upgrade", path, "--write").code == 0
    done = json.dumps(upgrade(document)[0], separators=(",", ":"))
    assert path.read_text() == done + "\n"


def test_a_file_laid_out_by_hand_is_compared_line_by_line(say: Any, write: Any):
    path = write(flow=old())
    path.write_text(path.read_text().replace('"id"', '\n    "id"'))
    printed = say("upgrade", path)
    assert (
        '\n-      "op": "le",\n' in printed.out or '\n-    "op": "le",\n' in printed.out
    )
    assert "gets a new layout" in printed.err


def test_references_and_what_may_mean_two_things_stay(say: Any, write: Any):
    agents = [{"$agent_md": "a.md", "kind": "lua"}]
    path = write(agents=agents, flow=old("$.n"))
    got = say("upgrade", path, "--json").json
    assert got["document"]["agents"] == agents
    assert [one["span"]["json_path"] for one in got["changes"]] == ["$.flow.cond.op"]
    assert (got["written"], got["ok"]) == (False, True)


def test_what_can_not_be_rewritten_is_reported(say: Any, tmp_path: Path):
    script = tmp_path / "b.bp.lua"
    script.write_text("return {}")
    printed = say("upgrade", script)
    assert (printed.code, "a script is not rewritten" in printed.err) == (2, True)
    text = "id: b # mine\nflow: {kind: seq, children: [{op: le}]}\n"
    yaml = tmp_path / "b.yaml"
    yaml.write_text(text)
    assert "'le' is now 'lte'" in say("upgrade", yaml).out
    printed = say("upgrade", yaml, "--write")
    assert (printed.code, "would lose its comments" in printed.err) == (2, True)
    assert yaml.read_text() == text
    printed = say("upgrade", tmp_path / "none.json")
    assert (printed.code, "No such file" in printed.err) == (2, True)
    (tmp_path / "torn.json").write_text("[")
    assert say("upgrade", tmp_path / "torn.json").code == 2


def test_the_wrong_shape_is_left_as_it_is(say: Any, tmp_path: Path):
    path = tmp_path / "b.json"
    path.write_text('[{"op": "le"}]')
    printed = say("upgrade", path, "--write")
    assert (printed.code, "nothing to do" in printed.err) == (0, True)
