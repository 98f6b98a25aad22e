"""`manage.py blueprint` and the Blueprints that are kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from kept_blueprints import document, with_error

from blueprints.models import Blueprint, BlueprintEvent, BlueprintVersion
from blueprints.preflight import compile_here
from engine.blueprint_store import version_of

pytestmark = pytest.mark.usefixtures("kept_in_git")
SHORT = len("sha256:") + 12


@pytest.fixture
def keep(say: Any, tmp_path: Path) -> Any:
    """Registers a document, and returns what the verb said."""

    def run(text: str = "A", *words: str, id: str = "mail") -> Any:
        path = tmp_path / "given.json"
        path.write_text(json.dumps(document(text, id=id)))
        return say("register", path, "-m", f"Say {text}", *words)

    return run


def test_register_says_what_the_head_is_now(keep: Any):
    first = keep("A", "--label", "1.0.0", "--author", "Ada <ada@example.org>")
    again = keep("A", "--json")

    row = BlueprintVersion.objects.get()
    assert (first.code, again.code) == (0, 0)
    assert first.out.startswith(
        f"mail is now at #1  {row.version[:SHORT]}  {row.commit[:12]}  1.0.0  20"
    )
    assert first.out.endswith(" Ada: Say A\n")
    assert row.author_email == "ada@example.org"
    assert again.json["seeded"] is False
    assert again.json["version"] == row.version
    assert (again.json["label"], again.json["number"]) == ("1.0.0", 1)
    # Without --author it is who is logged in here.
    keep("B")
    assert "@" in BlueprintEvent.objects.first().actor_email


def test_register_refuses_errors_unless_it_is_forced(
    say: Any, write: Any, tmp_path: Path
):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(with_error()))

    refused = say("register", path, "-m", "x")
    assert refused.code == 1
    assert "broken.json:1:" in refused.err
    assert "[unresolved-agent-ref]" in refused.err
    assert not Blueprint.objects.exists()

    forced = say("register", path, "-m", "x", "--force", "--json")
    assert (forced.code, forced.json["forced"]) == (0, True)
    assert forced.json["diagnostics"][0]["kind"] == "unresolved-agent-ref"
    assert "can't be launched" in say("register", path, "-m", "y", "--force").out
    shown = say("show", "mail")
    assert "error: $.flow.ref:" in shown.out

    shape = say("register", write(agents=1, id="other"), "-m", "x", "--force")
    assert shape.code == 1
    assert Blueprint.objects.count() == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--label", "one"], "label: 'one' is no semantic version"),
        (["--author", "Ada"], "--author 'Ada': expected 'NAME <EMAIL>'"),
        (["--expect", "none"], "has been changed meanwhile"),
        (["--expect", "abc"], "--expect abc: expected 8 or more digits"),
        (["--expect", "0" * 40], "--expect 0000"),
        (["-m", " "], "message: must not be empty"),
    ],
)
def test_register_names_what_is_wrong(keep: Any, words: list[str], says: str):
    keep("A")

    refused = keep("B", *words)

    assert refused.code == 2
    assert says in refused.err
    assert BlueprintVersion.objects.count() == 1


def test_a_source_that_needs_no_file_is_kept_with_its_document(
    say: Any, tmp_path: Path
):
    text = "# Why.\nid: mail\nflow: {kind: seq, children: []}\n"
    (tmp_path / "plain.yaml").write_text(text)
    (tmp_path / "part.json").write_text("{}")
    (tmp_path / "parts.yaml").write_text(
        text + "default_init_ctx: {$file: part.json}\n"
    )
    script = (
        'return require("bp_dsl").bp{id = _CTX.id, flow = require("flow_dsl").seq{}}'
    )
    (tmp_path / "made.bp.lua").write_text(script)

    assert (
        say("register", tmp_path / "plain.yaml", "-m", "x", "--json").json["source"]
        == ".yaml"
    )
    several = say("register", tmp_path / "parts.yaml", "-m", "x", "--json")
    assert several.json["source"] is None
    assert "its text is not kept, since it needs other files" in several.err
    made = say(
        "register",
        tmp_path / "made.bp.lua",
        "--ctx",
        '{"id":"mail"}',
        "-m",
        "x",
        "--json",
    )
    assert made.json["source"] == ".bp.lua"


def test_list_and_history_and_show(keep: Any, say: Any):
    for text in "ABC":
        keep(text)
    keep("N", id="news")
    assert say("alias", "mail", "prod", "-m", "Publish").out.startswith(
        "mail@prod is sha256:"
    )
    say("archive", "news", "-m", "Old")

    listed = say("list", "--json").json["items"]
    assert [(row["id"], row["number"], list(row["aliases"])) for row in listed] == [
        ("mail", 3, ["prod"])
    ]
    assert say("list", "--archived").out.startswith("news  #1  sha256:")
    assert say("list", "nothing", "fits").out == ""

    page = say("history", "mail", "--limit", "2")
    assert [line.split()[0] for line in page.out.splitlines()] == ["#3", "#2"]
    assert page.out.splitlines()[0].endswith("  [prod]")
    assert page.err == "older ones: --before 2\n"
    last = say("history", "mail", "--before", "2", "--json").json
    assert [row["number"] for row in last["items"]] == [1]
    assert last["before"] is None

    shown = say("show", "news", "--json").json
    assert (shown["archived"], shown["document"]) == (True, document("N", id="news"))
    assert [one["verb"] for one in shown["events"]] == ["archived", "registered"]
    text = say("show", "mail@prod").out
    assert "  prod is " in text
    assert " registered: Say C" in text


def test_blame_names_the_version_of_each_node_and_agent(keep: Any, say: Any):
    keep("A")
    keep("B")
    found = say("blame", "mail", "--json").json
    numbers = {
        kind: {name: one["number"] for name, one in found[kind].items()}
        for kind in ("nodes", "agents")
    }
    of_first = say("blame", f"mail@{version_of(document('A'))}", "--json").json
    assert {one["number"] for one in of_first["nodes"].values()} == {1}
    assert {*numbers["nodes"].values(), *numbers["agents"].values()} == {1, 2}
    assert "  #2  sha256:" in say("blame", "mail").out


def test_diff_compares_versions_and_files(keep: Any, say: Any, tmp_path: Path):
    first, second = keep("A", "--json").json, keep("B", "--json").json
    between = say("diff", f"mail@{first['version']}", "mail")

    assert between.code == 0
    assert between.out.startswith("~ step of 'writer' at /")
    assert "'A' → 'B'" in between.out
    assert "\n@@ " in between.out
    assert say("diff", "mail").out == between.out
    brief = say("diff", "mail", "--brief").out
    assert between.out.startswith(brief)
    assert "@@" not in brief
    same = say("diff", tmp_path / "given.json", f"mail@{second['version'][7:15]}")
    assert same.out == "nothing has changed\n"
    data = say("diff", "mail", "--json").json
    assert [one["what"] for one in data["changes"]] == ["changed"]
    assert say("diff", "mail@" + first["version"]).code == 2
    assert say("diff", tmp_path / "given.json").code == 2


def test_rollback_and_alias_and_archive(keep: Any, say: Any):
    first, second = keep("A", "--json").json, keep("B", "--json").json
    back = f"mail@{first['version'][:20]}"

    refused = say("rollback", back, "-m", "x", "--expect", first["commit"])
    assert refused.code == 2
    done = say("rollback", back, "-m", "B is wrong", "--expect", second["commit"][:12])
    assert done.out.startswith("mail is now at #3  ")
    assert "stays at #3" in say("rollback", back, "-m", "x").out

    say("alias", back, "prod", "-m", "x")
    moved = say(
        "alias", "mail", "prod", "-m", "x", "--expect", second["commit"], "--json"
    )
    assert moved.json["error"]["kind"] == "AliasMoved"
    assert (
        say("alias", "mail", "prod", "--remove", "-m", "x").out
        == "mail@prod is removed\n"
    )
    again = say("alias", "mail", "prod", "--remove", "-m", "x", "--json").json
    assert again["removed"] is False

    assert say("archive", "mail", "-m", "x").out == "mail is archived\n"
    assert say("rollback", back, "-m", "x", "--json").json["error"]["kind"] == (
        "BlueprintArchived"
    )
    assert say("unarchive", "mail", "-m", "x").out == "mail is not archived\n"


def test_a_version_goes_to_another_installation(keep: Any, say: Any, tmp_path: Path):
    kept = keep("A", "--label", "1.0.0", "--json").json
    out = tmp_path / "mail.zip"

    assert (
        say("export", "mail@1.0.0", "-o", out).out == f"{out}: mail {kept['version']}\n"
    )
    keep("B")
    imported = say("import", out, "-m", "From afar", "--json").json
    assert (imported["version"], imported["label"]) == (kept["version"], "1.0.0")
    assert BlueprintEvent.objects.first().verb == "imported"
    out.write_bytes(b"PK")
    assert say("import", out, "-m", "x").code == 2
    assert say("import", tmp_path / "none.zip", "-m", "x").code == 2


def test_reindex_lists_what_was_different(keep: Any, say: Any):
    keep("A")
    assert say("reindex").err == "0 differences\n"
    Blueprint.objects.all().delete()
    assert say("reindex", "mail").out == "mail: was not in the index\n"
    assert say("list").out.startswith("mail  #1")
    assert say("reindex", "nobody").code == 2


def test_what_takes_a_file_takes_a_name(keep: Any, say: Any, tmp_path: Path):
    first = keep("A", "--json").json
    keep("B")
    old = f"mail@{first['version']}"
    shown = f"mail@{first['version'][:SHORT]}"
    program = compile_here(document("A")).program_id

    assert say("explain", old, "--json").json["program_id"] == program
    assert say("explain", "mail", "--json").json["program_id"] != program
    assert say("doctor", old, "--json").json["file"] == shown
    built = say("build", old, "--json").json
    assert (built["file"], built["document"]) == (shown, document("A"))
    assert say("lint", old, "mail@", "--json").code == 0
    assert say("upgrade", old).err == f"{shown}: no older words; nothing to do\n"
    for verb in ("explain", "build", "doctor"):
        refused = say(verb, "mail@prod")
        assert refused.code == 2
        assert "has no alias 'prod'" in refused.err
    assert "No Blueprint is named 'nobody'" in say("explain", "nobody@").err


def test_what_exists_is_a_file_unless_it_ends_in_an_at(
    keep: Any, say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keep("A")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "blueprint.json").write_text(json.dumps(document("other", id="other")))

    assert say("explain", "mail", "--json").json["blueprint_id"] == "other"
    assert say("explain", "mail@", "--json").json["blueprint_id"] == "mail"
    assert say("explain", "nowhere.json").code == 2
