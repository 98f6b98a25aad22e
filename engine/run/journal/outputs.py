"""The closed set of output events of an agent, and how they become a result.

`to_wire` gives the JSON form of an event, tagged by `type`; engine/run/attempt/emitter.py
collects the events of an attempt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_never
from typing import Final as Constant

from engine.flow.json_text import JsonTextError, load_json
from engine.visible import CONTROLS

LONGEST_STAGE: Constant = 100
LONGEST_NOTE: Constant = 500
LONGEST_LINE: Constant = 4_000
LONGEST_NAME: Constant = 128
SHOWN: Constant = 80

SubmitFormat: TypeAlias = Literal["json", "text"] | None
"""How an agent's text becomes a result; None parses JSON objects and arrays alone."""

_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)
_CONTROL = re.compile(rf"[\t\n{CONTROLS}]")


@dataclass(frozen=True, slots=True)
class FileContent:
    """A content that is a file; the store of outputs has its bytes as `sha256`.

    `path` is where the agent has put it, which nobody keeps.
    """

    path: str
    sha256: str
    size: int
    mime: str | None = None
    size_hint: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the value that stands for the file in a result."""
        about = {"mime": self.mime, "size_hint": self.size_hint}
        return {
            "file_ref": self.path,
            **about,
            "sha256": self.sha256,
            "size": self.size,
        }


def as_value(content: Any) -> Any:
    """Return a content as the value that a result has of it."""
    return content.to_json() if isinstance(content, FileContent) else content


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the agent: a stage and a note for people."""

    stage: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of the result, as a JSON value, before the result is complete."""

    chunk: Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A named part of the result, as a JSON value or file; the last of a name wins."""

    name: str
    content: Any


@dataclass(frozen=True, slots=True)
class Final:
    """A result, as a JSON value or file; `ok` False means blocked. The last final wins.

    `by` names the author; an empty name means the agent itself.
    """

    content: Any
    ok: bool = True
    by: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the step's log, such as a script prints."""

    text: str


OutputEvent = Progress | Partial | Artifact | Final | Log


class _AsEmitted:
    """The type of AS_EMITTED."""

    def __repr__(self) -> str:
        return "AS_EMITTED"


AS_EMITTED: Constant = _AsEmitted()
"""The value of a `passed` outcome whose result is the last emitted Final."""


class FormatRefused(ValueError):
    """A text is not JSON, but its agent has `submit_format` `json`."""


def no_output(event: OutputEvent) -> None:
    """Drop an output event, for attempts whose output is not kept."""


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
            return {"type": "partial", "chunk": content_ref(chunk)}
        case Artifact(name, content):
            return {"type": "artifact", "name": name, "content": content_ref(content)}
        case Final(content, ok, by):
            return {
                "type": "final",
                "content": content_ref(content),
                "ok": ok,
                "by": by,
            }
        case Log(text):
            return {"type": "log", "text": cut(text, LONGEST_LINE)}
        case _:
            assert_never(event)


_WIRE: Constant[Mapping[str, Mapping[str, type]]] = {
    "progress": {"stage": str, "note": str},
    "partial": {"chunk": dict},
    "artifact": {"name": str, "content": dict},
    # `ok` may be any value; its truth counts.
    "final": {"content": dict, "by": str},
    "log": {"text": str},
    "truncated": {"why": str},
}


def is_wire(value: Any) -> bool:
    """Return whether a value is an event's JSON form, or has a `type` that is not known."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    fields = _WIRE.get(value["type"], {})
    return all(isinstance(value.get(name), kind) for name, kind in fields.items())


def content_ref(value: Any) -> dict[str, Any]:
    """Return a ContentRef that contains the JSON value, or refers to a file."""
    if isinstance(value, FileContent):
        about = {"mime": value.mime, "size_hint": value.size_hint}
        kept = {"sha256": value.sha256, "size": value.size}
        return {"kind": "file_ref", "path": value.path, **about, **kept}
    return {"kind": "inline", "value": value}


def shown_content(content: Mapping[str, Any], most: int) -> str:
    """Return a ContentRef as text for people: at most `most` characters, or its size."""
    if "value" in content:
        return cut(json.dumps(content["value"], ensure_ascii=False), most)
    if "preview" in content:
        return cut(str(content["preview"]), most)
    return f"({content.get('size', '?')} bytes)"


def cut(text: str, most: int) -> str:
    """Return a text as valid UTF-8, cut at `most` characters."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    # An agent's output may have lone surrogates, which UTF-8 does not encode.
    return text.encode("utf-8", "replace").decode("utf-8")


def name_fault(name: object) -> str:
    """Return the error of an invalid name of a part, empty for a valid name."""
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
    """Return a step's value: the final alone, or `{"out", "parts"}` if it has parts."""
    return {"out": final, "parts": dict(parts)} if parts else final


def fold_text(text: str, submit_format: SubmitFormat = None) -> Any:
    """Return the result of an agent whose kind returns a text.

    By default a JSON object or array, also inside one code fence, is parsed, and every
    other text stays a text. With `json` every text is parsed, and FormatRefused quotes
    the first 80 characters of a text that is not JSON. With `text` nothing is parsed.
    """
    if submit_format == "text":
        return text
    try:
        fenced = _FENCE.fullmatch(text)
        value = load_json((fenced[2] if fenced else text).strip())
    except JsonTextError as error:
        if submit_format == "json":
            begin = cut(text.strip(), SHOWN + 1) or "(nothing)"
            raise FormatRefused(
                f"submit_format is json, but the result is no JSON ({error});"
                f" it begins: {begin}"
            ) from None
        return text
    if submit_format == "json" or isinstance(value, dict | list):
        return value
    return text
