"""Tests of blueprints/loaders/posted.py."""

import json

import pytest

from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES
from blueprints.loaders.posted import TOO_LARGE, build_source, posted_document
from engine.blueprint_store import Source

SCRIPT = """
local B, F = require("bp_dsl"), require("flow_dsl")
print("made for " .. _CTX.who)
return B.bp{id = _CTX.who, flow = F.seq{}, agents = F.arr()}
"""


def test_a_document_is_its_json_with_literals_as_data():
    sent = {"id": "b", "default_init_ctx": {"$literal": {"$file": "x"}}}
    assert posted_document(json.dumps(sent).encode()) == {
        "id": "b",
        "default_init_ctx": {"$file": "x"},
    }


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"{", "expected a key"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b'{"a": NaN}', "NaN"),
        (b"\xff", "UTF-8"),
        (b'{"id": {"$file": "/etc/passwd"}}', "`blueprint build`"),
        (b'{"agents": [{"$agent_md": "a.md"}]}', "`blueprint build`"),
        (b'{"blueprint_ref_includes": ["x"]}', "`blueprint build`"),
        (b'{"id": {"$files": "x"}}', "unknown reference"),
    ],
)
def test_what_is_no_complete_document_is_refused(content, rule):
    with pytest.raises(DocumentInvalid, match=rule):
        posted_document(content)


def test_a_long_document_is_refused_before_it_is_parsed():
    with pytest.raises(DocumentInvalid, match="longer than") as refused:
        posted_document(b"{" * (MAX_BYTES + 1))
    assert refused.value.code == TOO_LARGE


def test_a_source_builds_to_its_document():
    text = "id: b  # a comment\nflow: {kind: seq, children: []}\n"
    made = {"id": "b", "flow": {"kind": "seq", "children": []}}
    assert build_source(Source(".yaml", text)).document == made

    built = build_source(Source(".bp.lua", SCRIPT, {"who": "b"}))
    assert built.document["id"] == "b"
    assert built.log == ("made for b",)


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (Source(".yaml", "a: [1"), "the source"),
        (Source(".yaml", "a: {$file: x}"), "`blueprint build`"),
        (Source(".bp.lua", "return 1"), "no table with names"),
        (Source(".bp.lua", "error('no')"), "no"),
        (Source(".py", "raise SystemExit"), "a source is one of"),
        (Source(".yaml", "x" * (MAX_BYTES + 1)), "longer than"),
    ],
)
def test_a_source_that_builds_nothing_is_refused(source, rule):
    with pytest.raises(DocumentInvalid, match=rule):
        build_source(source)
