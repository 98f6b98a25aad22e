"""The one error of the language and the texts of its kinds.

The texts are data: a program stores them (`try.err_at`, `all_settled`), so they
follow the tables of tests/conformance/README.md to the letter.
"""

from typing import Literal, TypeAlias

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
]


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


def parse_error(place: str, rule: str) -> FlowError:
    """Returns the error of a program that breaks `rule` at `place` (`$.children[2]`)."""
    return FlowError("ParseError", f"parse error at {place}: {rule}")
