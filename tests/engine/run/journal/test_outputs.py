"""Output events as JSON, and how an agent's text becomes a result."""

from __future__ import annotations

from typing import Any

import pytest

from engine.run.journal.outputs import (
    Artifact,
    Final,
    FormatRefused,
    Log,
    OutputEvent,
    Partial,
    Progress,
    fold_parts,
    fold_text,
    is_wire,
    name_fault,
    to_wire,
)


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Progress("s", "n"), {"type": "progress", "stage": "s", "note": "n"}),
        (
            Partial({"a": 1}),
            {"type": "partial", "chunk": {"kind": "inline", "value": {"a": 1}}},
        ),
        (
            Artifact("plan.md", "x"),
            {
                "type": "artifact",
                "name": "plan.md",
                "content": {"kind": "inline", "value": "x"},
            },
        ),
        (
            Final(None, ok=False, by="a"),
            {
                "type": "final",
                "content": {"kind": "inline", "value": None},
                "ok": False,
                "by": "a",
            },
        ),
        (Log("x"), {"type": "log", "text": "x"}),
    ],
)
def test_an_event_and_its_wire_form(event: OutputEvent, wire: dict[str, Any]) -> None:
    assert to_wire(event) == wire
    assert is_wire(wire)


def test_a_final_whose_ok_is_no_boolean_can_be_reported() -> None:
    odd: Any = "yes"
    assert is_wire(to_wire(Final(1, ok=odd)))


FENCED = '```json\n{"a": 1}\n```'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ("  [1]\n", [1]),
        (FENCED, {"a": 1}),
        ("\n~~~\n[]\n~~~\n", []),
        ("```\n[1]```", [1]),
        ("12", "12"),
        ("true", "true"),
        ('"quoted"', '"quoted"'),
        ("null", "null"),
        ("", ""),
        ("BLOCKED", "BLOCKED"),
        ("{not json}", "{not json}"),
        ("```\n12\n```", "```\n12\n```"),
        ('here: ```json\n{"a": 1}\n```', 'here: ```json\n{"a": 1}\n```'),
        (f"{FENCED}\nand\n{FENCED}", f"{FENCED}\nand\n{FENCED}"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("[NaN]", "[NaN]"),
        ("[" * 200 + "]" * 200, "[" * 200 + "]" * 200),
    ],
)
def test_by_default_containers_fold_and_all_else_stays_text(
    text: str, value: Any
) -> None:
    assert fold_text(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), (FENCED, {"a": 1}), ('"x"', "x"), ("null", None)]
)
def test_json_takes_any_json(text: str, value: Any) -> None:
    assert fold_text(text, "json") == value


def test_json_refuses_what_is_none_with_its_first_80_characters() -> None:
    with pytest.raises(FormatRefused) as caught:
        fold_text("I am sorry, " + "x" * 200, "json")
    assert str(caught.value).endswith("it begins: I am sorry, " + "x" * 68 + "…")
    with pytest.raises(FormatRefused, match=r"\(nothing\)"):
        fold_text("  \n", "json")


def test_text_is_never_parsed() -> None:
    assert fold_text('{"a": 1}', "text") == '{"a": 1}'


def test_parts_fold_only_if_there_are_any() -> None:
    assert fold_parts("x", {}) == "x"
    assert fold_parts("x", {"p": 1}) == {"out": "x", "parts": {"p": 1}}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 129, 7, None])
def test_names_of_parts_that_are_refused(name: Any) -> None:
    assert name_fault(name).startswith("the name of a part ")


@pytest.mark.parametrize("name", ["plan.md", "audit:x", "Überblick", "x" * 128])
def test_names_of_parts_that_are_taken(name: str) -> None:
    assert name_fault(name) == ""
