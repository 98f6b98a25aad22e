"""The one error of the language and the texts of its kinds.

The texts are data: a program stores them (`try.err_at`, `all_settled`), so they
follow the tables of tests/conformance/README.md to the letter.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from engine.flow.json_text import Json, dump_shown

# Keys that stand in a place after a dot; others are quoted.
_PLAIN_STEP: Final = re.compile(r"[A-Za-z0-9_$-]+")

FlowErrorKind: TypeAlias = Literal[
    "PathNotFound",
    "InvalidPath",
    "NonBoolCond",
    "TypeError",
    "ArithError",
    "DispatcherError",
    "ExternError",
    "ParseError",
    "LoopLimit",
]

# When each kind is raised, for the guide.
KINDS: Final[Mapping[FlowErrorKind, str]] = {
    "PathNotFound": "A path that is read leads to no value.",
    "InvalidPath": "A path is malformed, or a write target is not a path.",
    "NonBoolCond": "The `cond` of a branch is not a boolean.",
    "TypeError": "A value is not of the type an operation needs.",
    "ArithError": "Arithmetic has no finite result.",
    "DispatcherError": "An agent failed for good.",
    "ExternError": "An extern function is absent or failed.",
    "ParseError": "The program does not follow the grammar; no part of it runs.",
    "LoopLimit": "The `cond` of a loop with `on_max: fail` still holds after `max` iterations.",
}


class FlowError(Exception):
    """A program that cannot be read or cannot continue; `str()` is the full text.

    `offset` is the character that a ParseError in the text of an expression is about.
    """

    def __init__(
        self, kind: FlowErrorKind, text: str, offset: int | None = None
    ) -> None:
        # The base class gets every argument, so that the error can be pickled.
        super().__init__(kind, text, offset)
        self.kind: FlowErrorKind = kind
        self.text = text
        self.offset = offset

    def __str__(self) -> str:
        return self.text


class TextFault(Exception):
    """A text that breaks `rule` of the grammar of paths and expressions at `offset`."""

    def __init__(self, offset: int, rule: str) -> None:
        super().__init__(offset, rule)
        self.offset = offset
        self.rule = rule

    def place_in(self, text: str) -> str:
        """Return the line, where there are several, and the column of the fault."""
        before = text[: self.offset]
        column = f"column {self.offset - before.rfind(chr(10))}"
        return f"line {before.count(chr(10)) + 1} {column}" if "\n" in text else column


def path_not_found(path: str) -> FlowError:
    """Return the error of a read that meets no value; `path` is canonical text."""
    return FlowError("PathNotFound", f"path not found: {path}")


def invalid_path(why: str) -> FlowError:
    """Return the error of a malformed path or of a write target that is no path."""
    return FlowError("InvalidPath", f"invalid path syntax: {why}")


def non_bool_cond(value: Json) -> FlowError:
    """Return the error of a branch whose condition is not a boolean."""
    text = f"branch cond must be boolean, got: {dump_shown(value)}"
    return FlowError("NonBoolCond", text)


def type_error(op: str, why: str) -> FlowError:
    """Return the error of an operation `op` on a value of a type it cannot take."""
    return FlowError("TypeError", f"type error in '{op}': {why}")


def arith_error(op: str, why: str) -> FlowError:
    """Return the error of an arithmetic operation `op` without a finite result."""
    return FlowError("ArithError", f"arithmetic error in '{op}': {why}")


def dispatcher_error(ref: str, text: str) -> FlowError:
    """Return the error of a step whose dispatch failed with `text`."""
    return FlowError("DispatcherError", f"dispatcher error for ref '{ref}': {text}")


def extern_error(ref: str, text: str) -> FlowError:
    """Return the error of an extern function that is absent or failed with `text`."""
    return FlowError("ExternError", f"extern error for ref '{ref}': {text}")


def loop_limit(most: int) -> FlowError:
    """Return the error of a loop whose condition holds after `most` iterations."""
    why = f"cond still holds after {most} iterations"
    return FlowError("LoopLimit", f"loop limit reached: {why}")


def parse_error(place: str, rule: str, offset: int | None = None) -> FlowError:
    """Return the error of a program that breaks `rule` at `place` (`$.children[2]`)."""
    return FlowError("ParseError", f"parse error at {place}: {rule}", offset)


def place_step(part: str | int) -> str:
    """Return the text of one step of a place: `.key`, `["any key"]` or `[0]`."""
    if isinstance(part, int):
        return f"[{part}]"
    if _PLAIN_STEP.fullmatch(part):
        return f".{part}"
    return f"[{json.dumps(part, ensure_ascii=False)}]"
