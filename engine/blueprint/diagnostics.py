"""What is wrong with a Blueprint: the place, the rule, and what would be right.

The record is that of reference-language 5.1: every producer makes these, and nothing
else is told about a document.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

from engine.flow.json_text import Json

PAGE: Final = "docs/lints.md"
# A document may break a rule everywhere, each finding costs a search, and nobody reads
# more of one kind.
MOST: Final = 100
# Keys that stand in a place after a dot; others are quoted.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_$-]+")
_PART: Final = re.compile(
    r'\.(?P<plain>[^.\[]+)|\[(?P<index>[0-9]+)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]'
)


class Level(StrEnum):
    """How much a finding weighs: only errors keep a Blueprint from running."""

    INFO = "Info"
    WARN = "Warn"
    ERROR = "Error"


ElementType: TypeAlias = Literal["Agent", "Step", "Operator", "Meta", "BlueprintRoot"]
# Where a finding comes up; a lint's stage is BpDoctor with its family.
Stage: TypeAlias = Literal["CompileLint", "RefResolve", "LaunchPreflight"]
Applicability: TypeAlias = Literal[
    "MachineApplicable", "MaybeIncorrect", "HasPlaceholders", "Unspecified"
]


@dataclass(frozen=True, slots=True)
class Element:
    """What of the Blueprint a finding is about; a step's name is its ref."""

    type: ElementType
    name: str = ""

    def to_json(self) -> dict[str, Json]:
        """Writes the element as JSON."""
        if self.type == "BlueprintRoot":
            return {"type": self.type}
        return {
            "type": self.type,
            ("ref" if self.type == "Step" else "name"): self.name,
        }


ROOT: Final = Element("BlueprintRoot")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that would mend it, and how far it may be trusted."""

    msg: str
    patch: str
    applicability: Applicability = "MaybeIncorrect"

    def to_json(self) -> dict[str, Json]:
        """Writes the suggestion as JSON."""
        return {
            "msg": self.msg,
            "patch": self.patch,
            "applicability": self.applicability,
        }


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `place` is a path in the document (`$.flow.children[2].cond`), `kind` names the
    rule for programs, `message` and `help` are for people. `family` is empty for what
    the compiler finds and names the group of a lint otherwise; `stage` is for what has
    no family.
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

    def __str__(self) -> str:
        hint = f"; {self.help}" if self.help else ""
        return f"{self.place}: {self.message}{hint} [{self.kind}]"

    def to_json(self) -> dict[str, Json]:
        """Writes the nine keys of the record, all of them always."""
        stage: dict[str, Json] = {"type": self.stage}
        if self.family:
            stage = {"type": "BpDoctor", "family": self.family}
        element = None if self.element is None else self.element.to_json()
        return {
            "kind": self.kind,
            "stage": stage,
            "level": self.level.value,
            "message": self.message,
            "notes": list(self.notes),
            "help": self.help or None,
            "suggestion": None
            if self.suggestion is None
            else self.suggestion.to_json(),
            "docs_ref": {"uri": PAGE, "anchor": self.kind},
            "span": {"element": element, "json_path": self.place},
        }


class BlueprintInvalid(Exception):
    """A document that is no Blueprint, or one that can't run here."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: Sequence[Diagnostic] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.diagnostics)


def place_in(start: str, parts: Iterable[str | int]) -> str:
    """Returns the place reached from `start` by keys and indices."""
    return start + "".join(_step(part) for part in parts)


def resolve_place(document: Json, place: str) -> Json:
    """Returns the value at a place of a document; raises LookupError without one."""
    value, at = document, 1
    if not place.startswith("$"):
        raise LookupError(f"a place starts with '$', got {place!r}")
    while at < len(place):
        found = _PART.match(place, at)
        if found is None:
            raise LookupError(f"no place: {place!r}")
        at = found.end()
        if found["index"] is not None:
            value = _item(value, int(found["index"]), place)
        else:
            key = found["plain"] or json.loads(found["quoted"])
            if not isinstance(value, Mapping) or key not in value:
                raise LookupError(f"nothing stands at {place}")
            value = value[key]
    return value


def _item(value: Json, index: int, place: str) -> Json:
    if not isinstance(value, list) or index >= len(value):
        raise LookupError(f"nothing stands at {place}")
    return value[index]


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _PLAIN.fullmatch(part):
        return f".{part}"
    return f"[{json.dumps(part, ensure_ascii=False)}]"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports; the table of lints adds kind, level and family.

    `level` is only given where it differs from the table's.
    """

    place: str
    message: str
    help: str = ""
    notes: tuple[str, ...] = ()
    suggestion: Suggestion | None = None
    element: Element | None = field(default=None)
    level: Level | None = None


_Any = TypeVar("_Any", Diagnostic, Finding)


def first_of(findings: Iterable[_Any]) -> Iterator[_Any]:
    """Yields as many findings as anyone reads, and says so where there are more."""
    rest = iter(findings)
    yield from islice(rest, MOST)
    more = next(rest, None)
    if more is not None:
        message = f"and more of this kind, from here on; the first {MOST} are told"
        yield replace(more, message=message, help="mend those first", notes=())
