"""`manage.py blueprint lint`: findings, levels and exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from engine.blueprint.findings.diagnostics import resolve_place

NOT_YET = "not-in-effect-yet"
FOLDER = Path(__file__).resolve().parents[3] / "blueprints" / "samples"
SAMPLES = {
    path.parent.name if path.stem.startswith("blueprint") else path.name: path
    for form in ("*.json", "*.yaml", "*.bp.lua", "*/blueprint.*")
    for path in sorted(FOLDER.glob(form))
}
NINE = {
    "kind", "stage", "level", "message", "notes", "help", "suggestion", "docs_ref",
    "span",
}  # fmt: skip
SLOW = {"name": "s", "kind": "subprocess", "spec": {"program": "true"}}


def test_a_clean_blueprint_is_exit_0_and_prints_nothing(say: Any, write: Any):
    printed = say("lint", write())
    assert (printed.code, printed.out) == (0, "")
    assert printed.err == (
        "1 file: 0 errors, 0 warnings; `blueprint doctor FILE` checks the functions, too\n"
    )


def test_an_error_names_file_place_rule_nearest_word_and_kind(say: Any, write: Any):
    path = write(agents=[{"name": "a", "kind": "pyton_fn", "spec": {}}])
    printed = say("lint", path)
    assert printed.code == 1
    column = path.read_text().index('"pyton_fn"') + 1
    first, row, caret, hint = printed.out.splitlines()
    fault = "error: unknown kind 'pyton_fn' [unknown-agent-kind]"
    assert first == f"{path}:1:{column}: {fault}"
    assert row[caret.index("^") :].startswith('"pyton_fn"')
    assert caret.endswith("^ $.agents[0].kind")
    assert hint == "  help: did you mean 'python_fn'?"


def test_a_result_is_too_large_for_the_limit_of_this_installation(
    say: Any, settings: Any
):
    case = FOLDER.parents[1] / "tests/cases/blueprints/result-too-large/fail.json"
    assert say("lint", case, "--strict").code == 0
    settings.SWARM_INPUT_LIMIT = 900_000
    printed = say("lint", case, "--strict")
    assert printed.code == 1
    assert "the final Ctx would be too large to be shown" in printed.out


def test_warnings_count_under_strict_only(say: Any, write: Any, make_step: Any):
    path = write(agents=[SLOW], flow=make_step("s"))
    printed = say("lint", path)
    assert printed.code == 0
    assert "warning: subprocess agent 's' has no timeout" in printed.out
    assert say("lint", path, "--strict").code == 1
    assert say("lint", path, "--strict", "--allow", "missing-timeout").code == 0
    assert say("lint", path, "--deny", "category:suspicious").code == 1
    got = say("lint", path, "--allow", "missing-timeout", "--json").json
    [one] = got["files"]
    assert one["suppressed"][0]["source"] == "call-site"
    assert (got["ok"], one["verdict"], one["diagnostics"]) == (True, "OK", [])


def test_a_level_that_contradicts_another_or_names_no_kind_is_reported(
    say: Any, write: Any
):
    printed = say("lint", write(), "--allow", "all", "--deny", "all")
    assert printed.code == 2
    assert printed.err == "--allow and --deny both name 'all'\n"
    printed = say("lint", write(), "--allow", "misssing-timeout")
    assert "did you mean 'missing-timeout'?" in printed.out


def test_json_has_every_file_and_places_that_resolve(say: Any, write: Any):
    bad = write("bad.json", agents=[])
    printed = say("lint", write("good.json"), bad, "--json")
    assert printed.code == 1
    got = printed.json
    assert (got["ok"], got["errors"]) == (False, 1)
    good, broken = got["files"]
    assert (good["verdict"], broken["verdict"]) == ("OK", "BLOCK")
    [found] = broken["diagnostics"]
    assert found["kind"] == "unresolved-agent-ref"
    document = {"flow": {"ref": "a"}}
    assert resolve_place(document, found["span"]["json_path"]) == "a"


def test_files_that_can_not_be_read_are_exit_2_and_the_others_are_reported(
    say: Any, write: Any, tmp_path: Path
):
    torn = tmp_path / "torn.json"
    torn.write_text('{"id": "x", "id": "y"}')
    bad = write("bad.json", agents=[])
    printed = say("lint", tmp_path / "none.json", torn, tmp_path / "x.txt", bad)
    assert printed.code == 2
    assert "none.json: error: can't be read: No such file" in printed.out
    assert "torn.json:1:13: error: duplicate key 'id'" in printed.out
    assert "the name of a Blueprint's file ends in .json" in printed.out
    assert "[unresolved-agent-ref]" in printed.out
    assert "3 can't be read" in printed.err
    [none] = say("lint", tmp_path / "none.json", "--json").json["files"]
    assert (none["verdict"], none["error"]) == (None, "io")
    [found] = none["diagnostics"]
    assert set(found) == NINE
    assert (found["kind"], found["level"]) == ("unreadable", "Error")
    assert found["stage"] == {"type": "RefResolve"}


def test_a_reference_that_leads_outside_is_reported_at_its_place(
    say: Any, tmp_path: Path
):
    path = tmp_path / "b.json"
    path.write_text('{"flow": {"$file": "../x"}}')
    printed = say("lint", path)
    assert printed.code == 2
    assert printed.out.startswith(f"{path}:1:20: error: '../x' has '..'")
    assert " [unresolved-reference]\n" in printed.out
    assert printed.out.endswith("^ $.flow.$file\n")
    [one] = say("lint", path, "--json").json["files"]
    [found] = one["diagnostics"]
    assert found["span"] == {
        "element": None, "json_path": "$.flow.$file",
        "file": str(path), "line": 1, "column": 20,
    }  # fmt: skip
    assert found["docs_ref"] == {
        "uri": "docs/lints.md", "anchor": "unresolved-reference",
    }  # fmt: skip
    for verb in ("build", "doctor", "explain"):
        error = say(verb, path, "--json").json["error"]
        assert error["diagnostics"] == [found]


SCRIPT = """
local B = require "bp_dsl"
print("for " .. _CTX.who)
local flow = B.pipeline { B.stage "a" { agent = "a", input = "$" }, halt_on = { "NO" } }
return B.bp { id = "b", flow = flow, agents = {
  { name = "a", kind = "python_fn", spec = { fn_id = "identity" } } } }
"""


def test_a_folder_with_a_script_is_linted_with_its_parameters(say: Any, tmp_path: Path):
    (tmp_path / "blueprint.bp.lua").write_text(SCRIPT)
    (tmp_path / "ctx.json").write_text('{"who": "me"}')
    printed = say("lint", tmp_path, "--ctx", f"@{tmp_path / 'ctx.json'}")
    assert printed.code == 0
    line = SCRIPT[: SCRIPT.rindex("return")].count("\n") + 1
    assert f"blueprint.bp.lua:{line}:1: warning: " in printed.out
    assert "[dsl-warning]" in printed.out
    assert printed.err.startswith("for me\n")
    assert say("lint", tmp_path, "--ctx", '{"who": "me"}', "--strict").code == 1

    given = ("--ctx", '{"who": "me", "project_root": "/"}')
    printed = say("lint", tmp_path, *given, "--strict", "--allow", "dsl-warning")
    assert (printed.code, printed.out) == (0, "")
    for verb in ("lint", "build", "doctor"):
        got = say(verb, tmp_path, *given, "--json").json
        [found] = got.get("files", [got])[0]["diagnostics"]
        assert set(found) == NINE
        assert found["kind"] == "dsl-warning"
        assert found["stage"] == {"type": "BpDoctor", "family": "DslLint"}
        printed = say(verb, tmp_path, *given, "--deny", "dsl-warning")
        assert printed.code == 1
        assert (printed.out + printed.err).count("halt_on is given, but no stage") == 1

    # A document that is no Blueprint does not silence what made it.
    script = tmp_path / "blueprint.bp.lua"
    script.write_text(SCRIPT.replace("flow = flow", "flow = flow, flw = 1"))
    printed = say("lint", tmp_path, *given)
    assert printed.code == 1
    assert "[unknown-field]" in printed.out
    assert "[dsl-warning]" in printed.out
    script.write_text(SCRIPT)

    printed = say("lint", tmp_path)
    assert printed.code == 2
    assert "blueprint.bp.lua:3:" in printed.out
    printed = say("lint", tmp_path, "--ctx", "{")
    assert (printed.code, printed.err.startswith("--ctx: no JSON: ")) == (2, True)


def test_an_empty_table_that_should_be_an_array_gets_the_word_for_it(
    say: Any, write: Any, tmp_path: Path, capsys: Any
):
    hint = "an empty Lua table is an object; write F.arr() for an array"
    flow = 'flow = { kind = "seq", children = %s }'
    script = tmp_path / "a.bp.lua"
    for text, place in (
        (f'return {{ id = "x", {flow % "{}"} }}', "$.flow.children"),
        (
            f'return {{ id = "x", agents = {{}}, {flow % "require([[flow_dsl]]).arr()"} }}',
            "$.agents",
        ),
    ):
        script.write_text(text)
        for verb in ("lint", "build", "explain"):
            printed = say(verb, script)
            assert printed.code == 1
            shown = printed.out + printed.err
            assert f"{script}:1:1: error: expected an array, got an object" in shown
            assert f"^ {place}\n" in shown
            assert f"  help: {hint}\n" in printed.out + printed.err
        with pytest.raises(SystemExit):
            call_command("run", str(script), "--json")
        assert hint in capsys.readouterr().out
    # Others have written what they mean, and a table with names is a slip elsewhere.
    assert "F.arr" not in say("lint", write(agents={})).out
    script.write_text('return { id = "x", agents = { a = 1 } }')
    assert "F.arr" not in say("lint", script).out


def test_the_samples_have_no_errors_and_no_warnings(say: Any):
    printed = say("lint", *SAMPLES.values(), "--strict", "--allow", NOT_YET)
    assert printed.code == 0, printed.out
    assert {path.suffix for path in SAMPLES.values()} == {".json", ".yaml", ".lua"}
    assert SAMPLES["essay-desk"].parent != SAMPLES["pure-ctx.json"].parent


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_built_into_one_document(say: Any, tmp_path: Path, name: str):
    source, out = SAMPLES[name], tmp_path / "o.json"
    printed = say("build", source, "-o", out, "--allow", NOT_YET)
    assert (printed.code, printed.out) == (0, ""), printed.err
    assert "error" not in printed.err
    assert "warning" not in printed.err
    again = say("build", out, "--json").json
    assert f"program {again['program_id']}\n" in printed.err
    assert again["document"] == json.loads(out.read_text())
    assert say("lint", out, "--strict", "--allow", NOT_YET).code == 0


def test_without_a_file_or_a_verb_the_usage_is_reported(say: Any):
    with pytest.raises(CommandError, match="FILE"):
        say("lint")
    with pytest.raises(CommandError, match="verb"):
        say()


SEAT = {"name": "desk"}
CLERK = {
    "name": "clerk",
    "kind": "operator",
    "spec": {"operator_ref": "desk"},
    "runner": {
        "backend": "ws_operator",
        "variant": "writer",
        "tools": ["Read", "mcp__files__find"],
    },
}


def printed_kinds(printed: Any) -> list[tuple[str, str]]:
    found = [one for file in printed.json["files"] for one in file["diagnostics"]]
    return [(one["kind"], one["span"]["json_path"]) for one in found]


def test_wrapper_files_are_checked_against_the_runners(
    say: Any, write: Any, make_step: Any, tmp_path: Path
):
    path = write(agents=[CLERK], operators=[SEAT], flow=make_step("clerk"))
    folder = tmp_path / "wrappers"
    folder.mkdir()
    (folder / "README.md").write_text("no agent\n")
    wrapper = folder / "writer.md"
    drift = ("wrapper-only-drift", "$.agents[0]")
    assert drift not in printed_kinds(say("lint", path, "--json"))
    for tools, drifts in (("Read, Bash", True), ("Read", False)):
        wrapper.write_text(f"---\nname: writer\ntools: {tools}\n---\nWrite.\n")
        printed = say("lint", path, "--wrappers", folder, "--json")
        assert (drift in printed_kinds(printed)) is drifts
    assert say("lint", path, "--wrappers", tmp_path / "gone").code == 2
    wrapper.write_text("---\ntools: Read\n---\n")
    printed = say("lint", path, "--wrappers", folder)
    assert printed.code == 2
    assert printed.err.startswith(f"--wrappers: {wrapper}: front matter has no name")


def test_granted_tools_are_checked_against_the_live_ones(
    say: Any, write: Any, make_step: Any, tmp_path: Path
):
    path = write(agents=[CLERK], operators=[SEAT], flow=make_step("clerk"))
    live = tmp_path / "tools.json"
    unknown = ("tool-unknown-mcp-ref", "$.agents[0].runner.tools[1]")
    for text, is_reported in (
        ('["mcp__files__read"]', True),
        ('["mcp__files__read", "mcp__files__find"]', False),
        ('["mcp__other__find"]', False),
    ):
        live.write_text(text)
        printed = say("lint", path, "--mcp-tools", live, "--json")
        assert (unknown in printed_kinds(printed)) is is_reported, text
    for text, reason in (
        ("[", "the file is no JSON"),
        ("{}", "expected an array of names"),
        ('["find"]', "$[0]: expected mcp__SERVER__TOOL"),
        ('["mcp__a__b", 1]', "$[1]: expected mcp__SERVER__TOOL"),
    ):
        live.write_text(text)
        printed = say("lint", path, "--mcp-tools", live)
        assert printed.code == 2
        assert printed.err.startswith(f"--mcp-tools {live}: {reason}"), printed.err
    printed = say("lint", path, "--mcp-tools", tmp_path / "gone.json")
    assert (printed.code, "can't be read" in printed.err) == (2, True)


def test_the_setting_refuses_the_old_way_to_name_a_worker(
    say: Any, write: Any, make_step: Any, settings: Any
):
    old = {name: CLERK[name] for name in ("name", "kind", "spec")}
    old["profile"] = {"worker_binding": "writer"}
    path = write(agents=[old], operators=[SEAT], flow=make_step("clerk"))
    refused = ("bound-agent-resolution", "$.agents[0].profile.worker_binding")
    printed = say("lint", path, "--json")
    assert (printed.code, refused in printed_kinds(printed)) == (0, False)
    assert say("explain", path).code == 0
    settings.SWARM_LEGACY_WORKER_BINDING = "reject"
    printed = say("lint", path, "--json")
    assert (printed.code, refused in printed_kinds(printed)) == (1, True)
    assert "legacy worker bindings are switched off" in say("explain", path).err
    printed = say("doctor", path, "--json")
    [agent] = printed.json["agents"]
    assert (printed.code, printed.json["runs_here"], agent["runner"]) == (
        1,
        False,
        None,
    )
