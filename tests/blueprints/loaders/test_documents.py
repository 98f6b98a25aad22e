"""Tests of blueprints/loaders/documents.py and yaml_text.py."""

import os
import re
import resource
from pathlib import Path

import pytest

from blueprints.loaders.documents import DocumentInvalid, load_document
from blueprints.loaders.files import MAX_BYTES


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_json_and_yaml_of_the_same_document_are_equal(tmp_path):
    json_path = written(
        tmp_path,
        "a.json",
        '{"id": "a", "n": [1, 2.5, true, null, "no"], "deep": {"x": -1e3}, "s": "1"}',
    )
    yaml_path = written(
        tmp_path,
        "a.yaml",
        'id: a\nn: [1, 2.5, true, ~, no]\ndeep:\n  x: -1e3\ns: "1"\n',
    )

    assert load_document(yaml_path) == load_document(str(json_path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("012", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.", 1.0),
        (".5", 0.5),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("[]", []),
        ("{}", {}),
        ("{a: }", {"a": None}),
        ("<<: a", {"<<": "a"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("18446744073709551616", float(2**64)),
        ("9" * 400, None),
    ],
)
def test_yaml_scalars_are_those_of_the_core_schema(tmp_path, text, value):
    path = written(tmp_path, "a.yml", text)
    if value is None:
        with pytest.raises(DocumentInvalid, match="JSON has no such number"):
            load_document(path)
        return
    loaded = load_document(path)

    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", '{"a": 1,}', ":1:"),
        ("a.json", '{"a": 1, "a": 2}', "duplicate key 'a'"),
        ("a.json", "", ":1:1"),
        ("a.json", b"\xff", "not UTF-8"),
        ("a.yaml", b"\xff", "byte 0: not UTF-8"),
        ("a.yaml", "", ":1:1: the document is empty"),
        ("a.yaml", "a: [1", ":2:1: a ',' or the ']' of the list is missing"),
        ("a.yaml", "a: 1\nb: 2\na: 3", ":3:1: duplicate key 'a'"),
        ("a.yaml", "1: a", ":1:1: a key must be a string"),
        ("a.yaml", "a: .inf", ":1:4: JSON has no such number: '.inf'"),
        ("a.yaml", "a: !!int x", ":1:4: JSON has no such number: 'x'"),
        ("a.yaml", "a: !!binary eA==", "the tag tag:yaml.org,2002:binary is no JSON"),
        ("a.yaml", "a: !!set {x}", "the tag tag:yaml.org,2002:set is no JSON"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "is no JSON type"),
        ("a.yaml", "a: &x [*x]", "nested deeper than 127 containers"),
        ("a.yaml", "[" * 5_000, "nested deeper than 127 containers"),
        ("a.yaml", "a: *x", "no value has the anchor"),
        ("a.yaml", "a: 1\n---\na: 2", ":2:1: "),
        ("a.yaml", "a: \x01", ":1:4: YAML allows no control character"),
        ("a.yaml", '"\\ud800"', "invalid Unicode character escape"),
        ("a.toml", "", "ends in .json, .yaml, .yml, .bp.lua or .py"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_place(tmp_path, name, text, reason):
    path = written(tmp_path, name, text)

    with pytest.raises(DocumentInvalid, match=re.escape(reason)) as caught:
        load_document(path)

    assert str(caught.value).startswith(f"{path}:")


def test_aliases_that_multiply_are_refused(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = written(tmp_path, "bomb.yaml", "\n".join(rows))

    with pytest.raises(DocumentInvalid, match="more than 200000 values"):
        load_document(path)


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_more_than_4_mib_is_refused(tmp_path, name):
    path = written(tmp_path, name, '"' + "x" * (MAX_BYTES - 2) + '" ')

    with pytest.raises(DocumentInvalid, match="longer than 4194304 bytes"):
        load_document(path)


def test_4_mib_is_read(tmp_path):
    path = written(tmp_path, "a.json", '"' + "x" * (MAX_BYTES - 2) + '"')

    assert len(load_document(path)) == MAX_BYTES - 2


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")

    for name in ("pipe.json", "missing.json"):
        with pytest.raises(DocumentInvalid, match=name):
            load_document(tmp_path / name)
    with pytest.raises(DocumentInvalid, match="not a regular file"):
        load_document(tmp_path / "pipe.json")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- a\n" * (MAX_BYTES // 4), "more than 200000 values"),
        ("[" + "[]," * (MAX_BYTES // 4) + "]", "more than 200000 values"),
        ("- &a 1\n" + "- *a\n" * (MAX_BYTES // 6), "more than 200000 values"),
        ("- " * (MAX_BYTES // 2), "nested deeper than 127"),
        (
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 100_000)),
            "nested deeper than 127",
        ),
    ],
    ids=["items", "lists", "aliases", "depth", "merge keys"],
)
def test_a_large_yaml_costs_little_before_it_is_refused(tmp_path, text, rule):
    path = written(tmp_path, "a.yaml", text)

    assert within_memory(100 * 1024 * 1024, path) == rule


def within_memory(more, path):
    """Load a file in a process with this many more bytes; return its error for the file."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        outcome = "nothing"
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + more
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            load_document(path)
        except DocumentInvalid as error:
            outcome = error.rule[:80]
        except BaseException as error:
            outcome = type(error).__name__
        finally:
            os.write(writer, outcome.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as results:
        outcome = results.read()
    os.waitpid(pid, 0)
    for rule in ("more than 200000 values", "nested deeper than 127"):
        outcome = rule if outcome.startswith(rule) else outcome
    return outcome


def test_what_a_refusal_quotes_is_cut(tmp_path):
    for name in ("a.json", "a.yaml"):
        path = written(tmp_path, name, f'{{"{"k" * 100_000}": [1, "\x00"]}}')

        with pytest.raises(DocumentInvalid) as caught:
            load_document(path)
        assert len(str(caught.value)) < 5000
