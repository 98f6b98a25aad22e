"""A script cannot break the reports of its faults, whatever it does with them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.ports import LuaFault
from engine.run.journal.outputs import Artifact, OutputEvent, name_fault


def boom(_: Any) -> None:
    raise LookupError("nobody")


@pytest.mark.parametrize(
    "change",
    [
        r"e.kind = '\xff'",
        "e.kind = {}",
        "e.kind = 5",
        "e.kind = nil",
        "e.kind = ('x'):rep(1e6)",
        "e.text = nil",
        "e.text = {}",
        "e.name = nil",
        "e.permanent = true",
        "for name in pairs(e) do e[name] = nil end",
    ],
)
def test_an_error_of_a_host_function_is_reported_as_it_was(
    change: str, lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    begun = time.monotonic()
    source = f"local _, e = pcall(host.boom, 1) {change} "
    found = fault(source + "error(e)", functions={"boom": boom})
    assert (found.kind, found.place) == ("host", "LookupError")
    assert found.text == "host.boom: LookupError: nobody"
    assert not found.permanent
    assert time.monotonic() - begun < 2
    shown = lua(source + "return tostring(e)", functions={"boom": boom})
    assert shown == "host.boom: LookupError: nobody"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"error({text = '\xff'})", "?"),
        ("error({text = {}})", '{"text":{}}'),
        ("error({text = 5, json = 'size'})", '{"json":"size","text":5}'),
        ("error({json = 'big', place = {}, rule = print})", "an error that is no text"),
        ("error({('x'):rep(5000)})", "an error that is no text"),
        ("error(json.null)", "null"),
    ],
)
def test_an_error_of_any_form_is_a_text(
    source: str, text: str, fault: Callable[..., LuaFault]
) -> None:
    found = fault(source)
    assert (found.kind, found.text, found.place) == ("error", text, "")


def test_an_error_of_control_characters_is_reported_whole(
    fault: Callable[..., LuaFault],
) -> None:
    assert fault(r"error(('\1'):rep(5000), 0)").text == "\x01" * 4000


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\t", "\n\x1f ", "\x85", "\xa0\u2003\u3000", "a\nb", "\x7f", "a\0",
        pytest.param("x" * 129, id="long"), pytest.param("ä" * 129, id="long, not ASCII"),
        pytest.param("\x1b" * 200, id="long, not to be shown"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_bad_name_of_a_part_is_an_error_at_its_line(
    name: str, fault: Callable[..., LuaFault]
) -> None:
    got: list[OutputEvent] = []
    source = "local x = 1\nemit.artifact(_PROMPT, 1)"
    found = fault(source, name, emit=got.append)
    assert name_fault(name)
    assert found.text == f"s.lua:2: emit.artifact: {name_fault(name)}"
    assert got == []


@pytest.mark.parametrize("name", ["x" * 128, "ä" * 128, "\xa0a", "\u200b", "🦀 b"])
def test_a_good_name_of_a_part_is_taken(name: str, lua: Callable[..., Any]) -> None:
    got: list[OutputEvent] = []
    lua("emit.artifact(_PROMPT, 1)", name, emit=got.append)
    assert not name_fault(name)
    assert got == [Artifact(name, 1)]


def test_a_name_that_is_no_text_is_an_error(fault: Callable[..., LuaFault]) -> None:
    assert fault(r"emit.artifact('\xff', 1)").text == (
        "s.lua:1: emit.artifact: the name of a part must be UTF-8"
    )
    text = fault("emit.artifact({}, 1)").text
    assert text == "s.lua:1: emit.artifact: expected a string"
