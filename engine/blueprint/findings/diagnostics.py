"""Findings about a Blueprint: the place, the rule, and the correction.

All findings about documents are records of this module.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

from engine.flow.errors import place_step
from engine.flow.json_text import Json

PAGE: Final = "docs/lints.md"
# A document may break a rule everywhere, each finding costs a search, and more findings
# of one kind are of no use to a reader.
MOST: Final = 100
_PART: Final = re.compile(r'\.([^.\[]+)|\[(0|[1-9][0-9]*|"(?:[^"\\]|\\.)*")\]')
_PLACE: Final = re.compile(rf"\$(?:{_PART.pattern})*", re.DOTALL)


class Level(StrEnum):
    """The severity of a finding: only an error keeps a Blueprint from running."""

    INFO = "Info"
    WARN = "Warn"
    ERROR = "Error"


ElementType: TypeAlias = Literal["Agent", "Step", "Operator", "Meta", "BlueprintRoot"]
# The stage that reports a finding; a lint's stage is BpDoctor with its family.
Stage: TypeAlias = Literal["CompileLint", "RefResolve", "LaunchPreflight"]
Applicability: TypeAlias = Literal[
    "MachineApplicable", "MaybeIncorrect", "HasPlaceholders", "Unspecified"
]


@dataclass(frozen=True, slots=True)
class Element:
    """The part of the Blueprint that a finding is about; a step's name is its ref."""

    type: ElementType
    name: str = ""

    def to_json(self) -> dict[str, Json]:
        """Write the element as JSON."""
        if self.type == "BlueprintRoot":
            return {"type": self.type}
        return {
            "type": self.type,
            ("ref" if self.type == "Step" else "name"): self.name,
        }


ROOT: Final = Element("BlueprintRoot")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that would correct the fault, and whether it can be applied as it is."""

    msg: str
    patch: str
    applicability: Applicability = "MaybeIncorrect"


@dataclass(frozen=True, slots=True)
class Position:
    """A character of a file: `line` and `column` count from 1, `row` is the line's text."""

    file: str
    line: int
    column: int
    row: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `place` is a path in the document (`$.flow.children[2].cond`), `offset` a character
    of the text there, if the finding is about a part of it. `kind` names the
    rule for programs, `message` and `help` are for people. `family` is the group of a
    lint, and empty for a finding of the compiler, which has a `stage` instead. `key` is
    the key of the object at the place that breaks the rule; `position` is known where
    the document's file is.
    """

    place: str
    kind: str
    message: str
    help: str = ""
    level: Level = Level.ERROR
    notes: tuple[str, ...] = ()
    suggestion: Suggestion | None = None
    element: Element | None = None
    family: str = ""
    stage: Stage = "CompileLint"
    offset: int | None = None
    key: str = ""
    position: Position | None = None

    def __str__(self) -> str:
        hint = f"; {self.help}" if self.help else ""
        return f"{self.place}: {self.message}{hint} [{self.kind}]"

    def to_json(self) -> dict[str, Json]:
        """Write the record as JSON, always with all nine keys."""
        stage: dict[str, Json] = {"type": self.stage}
        if self.family:
            stage = {"type": "BpDoctor", "family": self.family}
        element = None if self.element is None else self.element.to_json()
        span: dict[str, Json] = {"element": element, "json_path": self.place}
        if self.offset is not None:
            span["offset"] = self.offset
        if (at := self.position) is not None:
            span |= {"file": at.file, "line": at.line, "column": at.column}
        return {
            "kind": self.kind,
            "stage": stage,
            "level": self.level.value,
            "message": self.message,
            "notes": list(self.notes),
            "help": self.help or None,
            "suggestion": None if self.suggestion is None else asdict(self.suggestion),
            "docs_ref": {"uri": PAGE, "anchor": self.kind},
            "span": span,
        }


class BlueprintInvalid(Exception):
    """A document that is not a Blueprint, or cannot run in this installation."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: Sequence[Diagnostic] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.diagnostics)


def place_in(start: str, parts: Iterable[str | int]) -> str:
    """Return the place reached from `start` by keys and indices."""
    return start + "".join(place_step(part) for part in parts)


def place_parts(place: str) -> list[str | int]:
    """Return the keys and indices of a place; raises LookupError for any other text."""
    if not _PLACE.fullmatch(place):
        raise LookupError(f"no place: {place!r}")
    found = _PART.findall(place)
    return [plain or json.loads(bracketed) for plain, bracketed in found]


def resolve_place(document: Json, place: str) -> Json:
    """Return the value at a place of a document; raises LookupError without one."""
    value = document
    for part in place_parts(place):
        try:
            # The characters of a text have indices, too, but are not places.
            value = ({} if isinstance(value, str) else value)[part]
        except (LookupError, TypeError):
            raise LookupError(f"nothing stands at {place}") from None
    return value


@dataclass(frozen=True, slots=True)
class Finding:
    """The report of a check; the table of lints adds kind, level and family.

    `level` is only set where it differs from the level in the table.
    """

    place: str
    message: str
    help: str = ""
    notes: tuple[str, ...] = ()
    suggestion: Suggestion | None = None
    element: Element | None = field(default=None)
    level: Level | None = None
    offset: int | None = None


_Any = TypeVar("_Any", Diagnostic, Finding)


def first_of(findings: Iterable[_Any]) -> Iterator[_Any]:
    """Yield at most MOST findings, and one more that says that others follow."""
    rest = iter(findings)
    yield from islice(rest, MOST)
    more = next(rest, None)
    if more is not None:
        message = f"more findings of this kind follow; only the first {MOST} are listed"
        yield replace(more, message=message, help="correct those first", notes=())
