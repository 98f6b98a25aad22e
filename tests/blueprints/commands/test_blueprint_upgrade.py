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
    told = say("upgrade", path)
    assert told.code == 0
    assert f"{path}:$.flow.cond.op: info: 'le' is now 'lte'" in told.out
    assert '-{"schema_version"' in told.out
    assert '+{"schema_version"' in told.out
    assert "2 changes; --write" in told.err
    assert path.read_text() == before


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_written_it_is_the_upgraded_document_in_its_own_layout(
    say: Any, write: Any, indent: Any
):
    path = write(flow=old(), metadata={"description": "größer"})
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=False))
    told = say("upgrade", path, "--write")
    assert (told.code, "2 changes written" in told.err) == (0, True)
    done = json.dumps(upgrade(document), indent=indent, ensure_ascii=False)
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
    done = json.dumps(upgrade(document), separators=(",", ":"))
    assert path.read_text() == done + "\n"


def test_a_file_laid_out_by_hand_is_compared_line_by_line(say: Any, write: Any):
    path = write(flow=old())
    path.write_text(path.read_text().replace('"id"', '\n    "id"'))
    told = say("upgrade", path)
    assert '\n-      "op": "le",\n' in told.out or '\n-    "op": "le",\n' in told.out
    assert "laid out anew" in told.err


def test_references_and_what_may_mean_two_things_stay(say: Any, write: Any):
    agents = [{"$agent_md": "a.md", "kind": "lua"}]
    path = write(agents=agents, flow=old("$.n"))
    got = say("upgrade", path, "--json").json
    assert got["document"]["agents"] == agents
    assert [one["span"]["json_path"] for one in got["changes"]] == ["$.flow.cond.op"]
    assert (got["written"], got["ok"]) == (False, True)


def test_what_can_not_be_rewritten_is_told(say: Any, tmp_path: Path):
    script = tmp_path / "b.bp.lua"
    script.write_text("return {}")
    told = say("upgrade", script)
    assert (told.code, "a script is not rewritten" in told.err) == (2, True)
    text = "id: b # mine\nflow: {kind: seq, children: [{op: le}]}\n"
    yaml = tmp_path / "b.yaml"
    yaml.write_text(text)
    assert "'le' is now 'lte'" in say("upgrade", yaml).out
    told = say("upgrade", yaml, "--write")
    assert (told.code, "would lose its comments" in told.err) == (2, True)
    assert yaml.read_text() == text
    told = say("upgrade", tmp_path / "none.json")
    assert (told.code, "No such file" in told.err) == (2, True)
    (tmp_path / "torn.json").write_text("[")
    assert say("upgrade", tmp_path / "torn.json").code == 2


def test_the_wrong_shape_is_left_as_it_is(say: Any, tmp_path: Path):
    path = tmp_path / "b.json"
    path.write_text('[{"op": "le"}]')
    told = say("upgrade", path, "--write")
    assert (told.code, "nothing to do" in told.err) == (0, True)
