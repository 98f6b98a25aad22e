"""`manage.py blueprint build`: one document that needs no other file."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from blueprints.authoring.build import document_hash
from blueprints.loaders.blueprint import load_blueprint
from blueprints.preflight import compile_here


def folder(base: Path) -> Path:
    """Write a Blueprint of several files."""
    base.mkdir()
    (base / "blueprint.json").write_text(
        json.dumps(
            {
                "id": "parts",
                "default_init_ctx": {"data": {"$literal": {"$file": "no file"}}},
                "flow": {
                    "kind": "step",
                    "ref": "judge",
                    "in": {"op": "path", "at": "$.data"},
                    "out": {"op": "path", "at": "$.said"},
                },
                "agents": [
                    {
                        "$agent_md": "judge.md",
                        "kind": "lua",
                        "spec": {"source": {"$file": "judge.lua"}},
                    }
                ],
            }
        )
    )
    (base / "judge.md").write_text("---\nname: judge\n---\nBe fair — always.\n")
    (base / "judge.lua").write_text("return 1\n")
    return base


def test_the_document_is_complete_and_gives_the_same_program(say: Any, tmp_path: Path):
    source, out = folder(tmp_path / "parts"), tmp_path / "far" / "out.json"
    out.parent.mkdir()
    printed = say("build", source, "-o", out)
    assert (printed.code, printed.out) == (0, "")

    whole = load_blueprint(source).document
    assert load_blueprint(out).document == whole
    program = compile_here(whole).program_id
    assert f"program {program}\n" in printed.err
    assert f"document {document_hash(whole)}\n" in printed.err
    assert compile_here(load_blueprint(out).document).program_id == program
    assert stat.S_IMODE(out.stat().st_mode) & 0o600 == 0o600
    assert [path.name for path in out.parent.iterdir()] == ["out.json"]


def test_the_same_blueprint_gives_the_same_bytes(say: Any, tmp_path: Path):
    source = folder(tmp_path / "parts")
    first = say("build", source)
    assert first.out.endswith("}\n")
    assert say("build", source) == first
    (tmp_path / "again.json").write_text(first.out)
    assert say("build", tmp_path / "again.json").out == first.out


def test_json_has_the_ids_and_the_document(say: Any, tmp_path: Path):
    source = folder(tmp_path / "parts")
    got = say("build", source, "--json").json
    text = say("build", source).out
    assert got["document"] == json.loads(text)
    assert len(got["program_id"]) == len(got["document_hash"]) == 64
    written = say("build", source, "--json", "-o", tmp_path / "o.json").json
    assert "document" not in written
    assert written["out"] == str(tmp_path / "o.json")


def test_with_an_error_nothing_is_written(say: Any, write: Any, tmp_path: Path):
    out = tmp_path / "out.json"
    out.write_text("before")
    bad = write(agents=[{"name": "a", "kind": "pyton_fn"}])
    printed = say("build", bad, "-o", out)
    assert (printed.code, printed.out) == (1, "")
    assert f"{bad}:1:" in printed.err
    assert " error: unknown kind 'pyton_fn'" in printed.err
    assert "^ $.agents[0].kind\n" in printed.err
    assert "did you mean 'python_fn'?" in printed.err
    assert out.read_text() == "before"
    got = say("build", bad, "--json").json
    assert got["error"]["diagnostics"][0]["kind"] == "unknown-agent-kind"


@pytest.mark.parametrize("verb", ["build", "lint", "doctor", "explain"])
def test_b26_one_reference_that_leads_nowhere_is_no_warning(
    say: Any, write: Any, tmp_path: Path, verb: str
):
    out = tmp_path / "out.json"
    agents = [
        {"$agent_md": "gone.md"},
        {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}},
    ]
    bad = write(agents=agents)
    printed = say(verb, bad, *(["-o", out] if verb == "build" else []))
    assert printed.code == 2
    assert "^ $.agents[0].$agent_md\n" in printed.out + printed.err
    assert "no file 'gone.md'" in printed.out + printed.err
    assert not out.exists()


def test_a_lint_that_is_denied_is_an_error(say: Any, write: Any, make_step: Any):
    agent = {"name": "s", "kind": "subprocess", "spec": {"program": "true"}}
    path = write(agents=[agent], flow=make_step("s"))
    printed = say("build", path)
    assert printed.code == 0
    assert "warning: subprocess agent 's' has no timeout" in printed.err
    assert say("build", path, "--deny", "missing-timeout").code == 1


def test_an_operator_is_built_where_it_can_not_run(
    say: Any, write: Any, make_step: Any
):
    agent = {
        "name": "o",
        "kind": "operator",
        "spec": {"operator_ref": "main"},
        "runner": {"backend": "ws_operator", "variant": "v"},
    }
    path = write(agents=[agent], operators=[{"name": "main"}], flow=make_step("o"))
    assert say("build", path).code == 0


def test_an_out_that_makes_no_sense_is_refused(say: Any, write: Any, tmp_path: Path):
    path = write()
    for out, why in (
        (path, "that is the Blueprint itself"),
        (tmp_path / "o.yaml", "end the name in .json"),
        (tmp_path / "no" / "o.json", "can't be written: No such file"),
        (tmp_path, "end the name in .json"),
    ):
        printed = say("build", path, "-o", out)
        assert (printed.code, why in printed.err) == (2, True), printed.err
    assert json.loads(path.read_text())["id"] == "b"


def test_a_file_that_is_missing_or_torn_is_exit_2(say: Any, tmp_path: Path):
    printed = say("build", tmp_path / "none.json")
    assert (printed.code, "No such file" in printed.err) == (2, True)
    (tmp_path / "torn.json").write_text('{"id": ')
    printed = say("build", tmp_path / "torn.json", "--json")
    assert printed.code == 2
    assert printed.json["error"]["code"] == "json"
