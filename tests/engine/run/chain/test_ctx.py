"""The stored form of a Ctx: edit lines, references to joins, folds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.flow import Document, parse_path
from engine.flow.offloaded import Offloaded
from engine.flow.path import Path
from engine.run.chain.ctx import (
    Lanes,
    TooLarge,
    base_id,
    delete_line,
    dump_edit,
    dump_expanded,
    join_line,
    replay,
    whole_edit,
)
from engine.run.chain.outputs import NO_CONTENTS, Outputs, Shelf
from engine.testing.outputs import MemoryOutputStore

HERE = parse_path("$.a.b")


def never(*_: Any) -> Any:
    raise AssertionError("nothing is to be expanded")


def lanes(*values: Any, chord: str = "0.k1") -> Lanes:
    return Lanes(values, {"k": chord, "node": 3, "n": len(values)}, 1)


@pytest.mark.parametrize(
    "value", [1, 1.0, None, "x\n]", {"a": [1, {"b": 2}]}, [], 2**63, -0.0]
)
def test_an_edit_is_replayed_as_it_was_made(value: Any) -> None:
    doc = Document({"a": {"c": 1}})
    line, _ = dump_edit(HERE, value)
    assert line.count(b"\n") == 1
    replay(doc, line, never, {}, NO_CONTENTS)
    assert repr(doc.value) == repr({"a": {"c": 1, "b": value}})


def test_keys_may_contain_anything() -> None:
    path = parse_path('$["a.b"]["[c"]')
    doc = Document(None)
    replay(doc, dump_edit(path, 1)[0], never, {}, NO_CONTENTS)
    assert doc.value == {"a.b": {"[c": 1}}


def test_a_delete_is_an_edit_without_a_value() -> None:
    doc = Document({"a": {"b": 1, "c": [1, 2]}})
    line = delete_line(HERE)
    assert line == b'[["a","b"],null,"delete"]\n'
    log = line + delete_line(Path("$", ("a", "c", -2))) + dump_edit(HERE, 3)[0]
    found = replay(
        doc, log + line + line, never, {}, NO_CONTENTS, [0, len(line), len(log)]
    )
    assert found[0] == {"a": {"b": 1, "c": [1, 2]}}
    assert found[len(line)] == {"a": {"c": [1, 2]}}
    assert found[len(log)] == {"a": {"b": 3, "c": [2]}}
    assert doc.value == {"a": {"c": [2]}}


def test_an_element_of_a_join_can_be_deleted() -> None:
    joined = lanes(1, 2, 3)
    log = join_line(HERE, joined.ref) + delete_line(Path("$", ("a", "b", 0)))
    doc = Document({})
    replay(doc, log, lambda *_: (joined, 1), {}, NO_CONTENTS)
    assert doc.value == {"a": {"b": [2, 3]}}
    assert joined == [1, 2, 3]


def test_a_join_inside_a_value_is_a_reference() -> None:
    joined = lanes(*range(10_000))
    line, depth = dump_edit(HERE, {"x": [joined, {"0.k1": 1}], "y": joined})
    assert len(line) < 300
    assert depth >= 3
    doc = Document({})
    replay(doc, line, never, {"0.k1": joined}, NO_CONTENTS)
    assert doc.value["a"]["b"]["x"][0] is joined
    assert doc.value["a"]["b"]["y"] is joined
    assert doc.value["a"]["b"]["x"][1] == {"0.k1": 1}


def test_a_join_is_expanded_once_and_known_from_then_on() -> None:
    joined, calls = lanes(1, 2), []

    def expand(ref: Any, base: Any, known: Any) -> Any:
        calls.append((ref, base.snapshot()))
        return joined, 1

    log = dump_edit(parse_path("$.z"), 0)[0] + join_line(HERE, joined.ref)
    log += dump_edit(parse_path("$.copy"), joined)[0]
    doc, known = Document({}), {}
    replay(doc, log, expand, known, NO_CONTENTS)
    assert calls == [(joined.ref, {"z": 0})]
    assert doc.value == {"z": 0, "a": {"b": [1, 2]}, "copy": [1, 2]}
    assert known == {"0.k1": joined}


def test_replay_returns_the_ctx_at_marked_offsets() -> None:
    first, second = (dump_edit(parse_path("$.n"), n)[0] for n in (1, 2))
    ends = [0, len(first), len(first) + len(second)]
    found = replay(Document({}), first + second, never, {}, NO_CONTENTS, ends)
    assert [found[end] for end in ends] == [{}, {"n": 1}, {"n": 2}]


def test_expanding_has_a_bound() -> None:
    value = {"x": lanes({"v": 1}, lanes(2, chord="0.k1.0.k2"))}
    text = b'{"x":[{"v":1},[2]]}'
    assert dump_expanded(value, len(text)) == text
    with pytest.raises(TooLarge):
        dump_expanded(value, len(text) - 1)
    with pytest.raises(TooLarge):
        dump_expanded(lanes(*["x" * 100] * 1_000), 5_000)


def test_a_content_inside_a_join_counts_once() -> None:
    shelf = Shelf(Outputs(MemoryOutputStore(), 1_000), lambda: "R-1:1/0/2")
    kept = shelf.kept("x" * 2_000)
    assert type(kept) is Offloaded
    value = {"x": lanes({"v": kept}, lanes(kept, chord="0.k1.0.k2"))}
    text = dump_expanded(value, 1 << 20)
    assert dump_expanded(value, len(text)) == text
    with pytest.raises(TooLarge):
        dump_expanded(value, len(text) - 1)


def test_what_is_too_deep_is_not_expanded() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(orjson.JSONEncodeError):
        dump_expanded(deep, 1_000_000)


def test_a_whole_ctx_is_one_edit_without_references() -> None:
    line, _ = whole_edit({"x": lanes(1, 2)}, 1_000)
    assert orjson.loads(line) == [[], {"x": [1, 2]}]
    doc = Document({"gone": 1})
    replay(doc, line, never, {}, NO_CONTENTS)
    assert doc.value == {"x": [1, 2]}


def test_bases_of_two_chains_never_share_a_name() -> None:
    assert base_id("0", b"{}") != base_id("0.k1.0", b"{}")
    one, other = (
        b'm12ab\n{"x":{"12ab":1},"y":{"":1}}',
        b'm12ab\n{"x":{"":1},"y":{"12ab":1}}',
    )
    assert base_id("0", one) != base_id("0", other)
    assert base_id("0", one) == base_id("0", one.replace(b"12ab", b"77cd"))
    assert len(base_id("0", b"{}")) == 16
