"""`manage.py blueprint new`: scaffolds that are clean, and nothing overwritten."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from blueprints.authoring.new import SHAPES
from blueprints.loaders.blueprint import load_blueprint
from engine.flow.grammar import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_scaffold_is_clean_complete_and_of_its_dialect(
    say: Any, tmp_path: Path, shape: str, dialect: str
):
    printed = say("new", shape, "my-flow", "--dir", tmp_path, "--dialect", dialect)
    folder = tmp_path / "my-flow"
    assert printed.code == 0
    assert printed.out.endswith(f"try it: python manage.py run {folder}\n")
    assert [one.name for one in tmp_path.iterdir()] == ["my-flow"]
    linted = say("lint", "--strict", folder)
    assert (linted.code, linted.out) == (0, "")
    document = load_blueprint(folder).document
    assert document["id"] == "my-flow"
    assert document.get("dialect", "flow.ir") == dialect
    assert say("doctor", folder).code == 0
    assert all(one["profile"]["system_prompt"] for one in document["agents"])


def test_json_lists_what_was_made(say: Any, tmp_path: Path):
    got = say("new", "single", "x", "--dir", tmp_path, "--json").json
    made = [
        path.relative_to(tmp_path / "x").as_posix()
        for path in sorted((tmp_path / "x").rglob("*"))
        if path.is_file()
    ]
    assert sorted(got["files"]) == sorted(made)
    assert got["folder"] == str(tmp_path / "x")


def test_what_is_there_stays_as_it_is(say: Any, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "folder", "link"):
        printed = say("new", "single", name, "--dir", tmp_path)
        assert (printed.code, printed.out) == (2, "")
        assert "exists already and stays unchanged" in printed.err
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "folder").iterdir()) == []
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my flow", "did you mean 'my-flow'?"),
        ("../out", "did you mean 'out'?"),
        ("a/b", "did you mean 'a-b'?"),
        ("", "letters, digits"),
        ("é", "letters, digits"),
        ("x" * 65, "at most 64"),
    ],
)
def test_a_name_that_is_none_is_refused(say: Any, tmp_path: Path, name: str, says: str):
    printed = say("new", "single", name, "--dir", tmp_path)
    assert (printed.code, says in printed.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_an_unknown_shape_is_reported(
    say: Any, tmp_path: Path
):
    printed = say("new", "single", "x", "--dir", tmp_path / "no")
    assert (printed.code, "there is no such folder" in printed.err) == (2, True)
    with pytest.raises(CommandError, match="invalid choice: 'singel'"):
        say("new", "singel", "x", "--dir", tmp_path)
    got = say("new", "single", "a b", "--json").json
    assert (got["ok"], got["error"]["kind"]) == (False, "Usage")
