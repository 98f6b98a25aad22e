"""What an agent says while it works: output events, seen live and kept in the journal.

The closed set of worker output (design.md §6); `to_json` is the wire form of the
reference, tagged by `type`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
    """A result, as a JSON value; `ok` False means blocked. The last final wins."""

    content: Any
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the step's log, such as what a script printed."""

    text: str


OutputEvent = Progress | Partial | Artifact | Final | Log


def no_output(event: OutputEvent) -> None:
    """Drop an output event, where nobody listens."""
