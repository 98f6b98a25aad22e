"""Tests of blueprints/loaders/blueprint.py: which file, and how large and deep."""

import os

import pytest

from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("blueprint.json", '{"id": "a"}'),
        ("blueprint.yaml", "id: a"),
        ("blueprint.yml", "id: a"),
    ],
)
def test_a_folder_is_the_one_blueprint_in_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "other.json").write_text("{}")
    found = load_blueprint(tmp_path)

    assert (found.document, found.path) == ({"id": "a"}, tmp_path / name)


def test_references_of_a_folder_are_below_it(tmp_path):
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "blueprint.yaml").write_text("id: {$file: id.txt}")
    (tmp_path / "flow" / "id.txt").write_text("a")

    assert load_blueprint(str(tmp_path / "flow")).document == {"id": "a"}


def test_a_folder_without_a_blueprint_or_with_two_is_refused(tmp_path):
    with pytest.raises(DocumentInvalid, match="has no Blueprint; expected one of"):
        load_blueprint(tmp_path)
    (tmp_path / "blueprint.json").write_text("{}")
    (tmp_path / "blueprint.yml").symlink_to("nothing")
    with pytest.raises(
        DocumentInvalid, match=r"more than one Blueprint: blueprint.json, blueprint.yml"
    ):
        load_blueprint(tmp_path)


def test_a_file_of_50_mb_is_refused(tmp_path):
    for name in ("a.json", "a.yaml"):
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(50 * 1024 * 1024)
        with pytest.raises(DocumentInvalid, match="longer than 4194304 bytes"):
            load_blueprint(path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "[" * 2_000_000, "nested deeper than 127"),
        ("a.json", '{"a":' * 200 + "1" + "}" * 200, "nested deeper than 127"),
        ("a.yaml", "{a: " * 200 + "1" + "}" * 200, "nested deeper than 127"),
        ("a.json", '{"a": 1e999}', "$.a: a number must be finite"),
        ("a.yaml", "a: 1e999", ":1:4: JSON has no such number"),
        ("a.json", '{"a": {"$file": "x", "$file": "y"}}', "duplicate key '$file'"),
        ("a.yaml", "a: {$file: x, $file: y}", "duplicate key '$file'"),
        ("a.txt", "", "ends in .json, .yaml, .yml, .bp.lua or .py"),
        ("lua", "", "ends in .json, .yaml, .yml, .bp.lua or .py"),
    ],
)
def test_bombs_and_bad_numbers_and_keys_are_refused_with_a_place(
    tmp_path, name, text, reason
):
    (tmp_path / name).write_text(text)
    with pytest.raises(DocumentInvalid) as caught:
        load_blueprint(tmp_path / name)

    assert str(caught.value).startswith(f"{tmp_path / name}:")
    assert reason in str(caught.value)


def test_sockets_and_pipes_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "blueprint.json")

    with pytest.raises(DocumentInvalid, match="not a regular file"):
        load_blueprint(tmp_path)
