"""What an agent says while it works: output events, and how they become a result.

The closed set of worker output. `to_wire` is the wire form of the
reference, tagged by `type`; what is kept of an attempt is engine/run/emitter.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_never
from typing import Final as Constant

from engine.flow.json_text import JsonTextError, load_json
from engine.visible import OBEYED

LONGEST_STAGE: Constant = 100
LONGEST_NOTE: Constant = 500
LONGEST_LINE: Constant = 4_000
LONGEST_NAME: Constant = 128
SHOWN: Constant = 80

SubmitFormat: TypeAlias = Literal["json", "text"] | None
"""How an agent's text becomes a result; None folds what is a JSON container."""

_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)
_CONTROL = re.compile(rf"[\t\n{OBEYED}]")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the agent is: a stage and a note for people."""

    stage: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of the result, as a JSON value, before the whole is there."""

    chunk: Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A named part of the result, as a JSON value; the last of a name wins."""

    name: str
    content: Any


@dataclass(frozen=True, slots=True)
class Final:
    """A result, as a JSON value; `ok` False means blocked. The last final wins.

    `by` names who wrote it; empty is the agent itself.
    """

    content: Any
    ok: bool = True
    by: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the step's log, such as what a script printed."""

    text: str


OutputEvent = Progress | Partial | Artifact | Final | Log


class _AsEmitted:
    """The type of AS_EMITTED."""

    def __repr__(self) -> str:
        return "AS_EMITTED"


AS_EMITTED: Constant = _AsEmitted()
"""The value of a `passed` outcome whose result is the last Final that was emitted."""


class FormatRefused(ValueError):
    """A text that is no JSON though its agent's `submit_format` is `json`."""


def no_output(event: OutputEvent) -> None:
    """Drop an output event, where nobody listens."""


def to_wire(event: OutputEvent) -> dict[str, Any]:
    """Return the JSON form of an event: `type` and its fields, contents as ContentRef."""
    match event:
        case Progress(stage, note):
            return {
                "type": "progress",
                "stage": cut(stage, LONGEST_STAGE),
                "note": cut(note, LONGEST_NOTE),
            }
        case Partial(chunk):
            return {"type": "partial", "chunk": inline(chunk)}
        case Artifact(name, content):
            return {"type": "artifact", "name": name, "content": inline(content)}
        case Final(content, ok, by):
            return {"type": "final", "content": inline(content), "ok": ok, "by": by}
        case Log(text):
            return {"type": "log", "text": cut(text, LONGEST_LINE)}
        case _:
            assert_never(event)


def from_wire(wire: Mapping[str, Any]) -> OutputEvent | None:
    """Return the event of a JSON form; None for a mark, such as `truncated`.

    A content that was left out for its size is None. Raises KeyError for what is no
    output event.
    """
    match wire["type"]:
        case "progress":
            return Progress(wire["stage"], wire.get("note") or "")
        case "partial":
            return Partial(wire["chunk"].get("value"))
        case "artifact":
            return Artifact(wire["name"], wire["content"].get("value"))
        case "final":
            content = wire["content"].get("value")
            return Final(content, wire.get("ok", True), wire.get("by", ""))
        case "log":
            return Log(wire["text"])
        case _:
            return None


_WIRE: Constant[Mapping[str, Mapping[str, type]]] = {
    "progress": {"stage": str, "note": str},
    "partial": {"chunk": dict},
    "artifact": {"name": str, "content": dict},
    # What an agent gave as `ok` is true or false whatever it is.
    "final": {"content": dict, "by": str},
    "log": {"text": str},
    "truncated": {"why": str},
}


def is_wire(value: Any) -> bool:
    """Tell whether a value has the JSON form of an event, of a mark, or of a new kind."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    fields = _WIRE.get(value["type"], {})
    return all(isinstance(value.get(name), kind) for name, kind in fields.items())


def inline(value: Any) -> dict[str, Any]:
    """Return the ContentRef that carries a JSON value itself."""
    return {"kind": "inline", "value": value}


def shown_content(content: Mapping[str, Any], most: int) -> str:
    """Return a ContentRef for people: its JSON in at most `most` characters, or its size."""
    if "value" in content:
        return cut(json.dumps(content["value"], ensure_ascii=False), most)
    return f"({content.get('size', '?')} bytes)"


def cut(text: str, most: int) -> str:
    """Return a text that JSON can hold, of at most `most` characters."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    # What an agent printed may hold lone surrogates, which are no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def name_fault(name: object) -> str:
    """Return what is wrong with the name of a part, empty for nothing."""
    if not isinstance(name, str):
        return f"the name of a part must be a text, got {type(name).__name__}"
    if not name.strip():
        return "the name of a part must not be blank"
    if len(name) > LONGEST_NAME:
        return f"the name of a part has at most {LONGEST_NAME} characters"
    if _CONTROL.search(name):
        return "the name of a part must not have control characters"
    return ""


def fold_parts(final: Any, parts: Mapping[str, Any]) -> Any:
    """Return a step's value: the bare final, or `{"out", "parts"}` if parts are staged."""
    return {"out": final, "parts": dict(parts)} if parts else final


def fold_text(text: str, submit_format: SubmitFormat = None) -> Any:
    """Return the result that an agent's text means; for kinds whose result is a text.

    By default a JSON object or array, also inside one code fence, becomes structure,
    and everything else stays the text it is. With `json` any JSON becomes its value and
    FormatRefused names the first 80 characters of what is none; `text` never parses.
    """
    if submit_format == "text":
        return text
    try:
        value = load_json(unfenced(text).strip())
    except JsonTextError as error:
        if submit_format == "json":
            raise FormatRefused(_refusal(text, error)) from None
        return text
    if submit_format == "json" or isinstance(value, dict | list):
        return value
    return text


def unfenced(text: str) -> str:
    """Return what is inside the one code fence that is all of a text, else the text."""
    found = _FENCE.fullmatch(text)
    return found[2] if found else text


def _refusal(text: str, error: JsonTextError) -> str:
    shown = text.strip()
    begins = cut(shown, SHOWN + 1) if shown else "(nothing)"
    return f"submit_format is json, but the result is no JSON ({error}); it begins: {begins}"
