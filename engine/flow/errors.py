"""The one error of the language and the texts of its kinds.

The texts are data: a program stores them (`try.err_at`, `all_settled`), so they
follow the tables of tests/conformance/README.md to the letter.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from engine.flow.json_text import Json, dump_compact

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
    "InvalidPath": "A path is malformed, or what is to be written to is no path.",
    "NonBoolCond": "The `cond` of a branch is not a boolean.",
    "TypeError": "A value is not of the type an operation needs.",
    "ArithError": "Arithmetic has no finite result.",
    "DispatcherError": "An agent failed for good.",
    "ExternError": "An extern function is absent or failed.",
    "ParseError": "The program is not of the language; nothing of it is run.",
    "LoopLimit": "A loop with `on_max: fail` wants to go on after `max` iterations.",
}


class FlowError(Exception):
    """A program that cannot be read or cannot go on; `str()` is its full text."""

    def __init__(self, kind: FlowErrorKind, text: str) -> None:
        # Both arguments go to the base class so that the error can be pickled.
        super().__init__(kind, text)
        self.kind: FlowErrorKind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text


def path_not_found(path: str) -> FlowError:
    """Returns the error of a read that meets no value; `path` is canonical text."""
    return FlowError("PathNotFound", f"path not found: {path}")


def invalid_path(why: str) -> FlowError:
    """Returns the error of a malformed path or of a write target that is no path."""
    return FlowError("InvalidPath", f"invalid path syntax: {why}")


def non_bool_cond(value: Json) -> FlowError:
    """Returns the error of a branch whose condition is not a boolean."""
    text = f"branch cond must be boolean, got: {dump_compact(value)}"
    return FlowError("NonBoolCond", text)


def type_error(op: str, why: str) -> FlowError:
    """Returns the error of an operation `op` on a value of a type it cannot take."""
    return FlowError("TypeError", f"type error in '{op}': {why}")


def arith_error(op: str, why: str) -> FlowError:
    """Returns the error of an arithmetic operation `op` without a finite result."""
    return FlowError("ArithError", f"arithmetic error in '{op}': {why}")


def dispatcher_error(ref: str, text: str) -> FlowError:
    """Returns the error of a step whose dispatch failed with `text`."""
    return FlowError("DispatcherError", f"dispatcher error for ref '{ref}': {text}")


def extern_error(ref: str, text: str) -> FlowError:
    """Returns the error of an extern function that is absent or failed with `text`."""
    return FlowError("ExternError", f"extern error for ref '{ref}': {text}")


def loop_limit(most: int) -> FlowError:
    """Returns the error of a loop that was to go on after `most` iterations."""
    why = f"cond still holds after {most} iterations"
    return FlowError("LoopLimit", f"loop limit reached: {why}")


def parse_error(place: str, rule: str) -> FlowError:
    """Returns the error of a program that breaks `rule` at `place` (`$.children[2]`)."""
    return FlowError("ParseError", f"parse error at {place}: {rule}")
