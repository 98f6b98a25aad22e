"""The answer of a subcommand: an exit code, JSON for programs and lines for people."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blueprints.command_line import counted_as
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.positions import diagnostic_of
from engine.blueprint import Diagnostic, Level
from engine.blueprint.findings.diagnostics import Position
from engine.flow.json_text import Json
from engine.visible import visible

FINE: Final = 0
INVALID: Final = 1
REFUSED: Final = 2
_ROW: Final = 100
"""The most characters of a line that are quoted."""
WORDS: Final = {Level.ERROR: "error", Level.WARN: "warning", Level.INFO: "info"}


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` or `text` goes to standard output, `notes` to standard error."""

    code: int
    data: dict[str, Json]
    text: str = ""
    notes: tuple[str, ...] = ()


def lines(*rows: str) -> str:
    """Return rows as text, each with its line end."""
    return "".join(f"{row}\n" for row in rows)


def finding_lines(file: str, found: Diagnostic) -> Iterator[str]:
    """Yield `FILE:LINE:COLUMN: level: message [kind]`, the line, help, notes, suggestion.

    Without a position, the place in the document stands in its stead, and no line.
    """
    at = found.position
    where = (
        f"{file}:{found.place}" if at is None else f"{at.file}:{at.line}:{at.column}"
    )
    yield f"{where}: {WORDS[found.level]}: {found.message} [{found.kind}]"
    if at is not None:
        yield from quoted(at, found.place)
    if found.help:
        yield f"  help: {found.help}"
    for note in found.notes:
        yield f"  note: {note}"
    if found.suggestion is not None:
        yield f"  {found.suggestion.msg}: {found.suggestion.patch}"


def unread_lines(error: DocumentInvalid) -> Iterator[str]:
    """Yield the lines of the finding about a file that can't be read as a document."""
    found = diagnostic_of(error)
    if error.place or found.position is not None:
        yield from finding_lines(error.file, found)
    else:
        yield f"{error.file}: error: {error.rule} [{error.kind}]"


def quoted(at: Position, place: str = "$") -> Iterator[str]:
    """Yield a line of a file, and below it a caret and the place in the document."""
    # The caret stands below its character, which a tab or an escape would move.
    row = visible(at.row).replace("\t", " ")
    if len(row) != len(at.row):
        row = "".join("?" if visible(one) != one else one for one in at.row)
    first = max(0, at.column - _ROW * 3 // 4) if len(row) > _ROW else 0
    shown = row[first : first + _ROW].rstrip()
    margin = f"{at.line:>6} | "
    yield f"{margin}{'...' if first else ''}{shown}{'...' if first + _ROW < len(row) else ''}"
    caret = " " * (at.column - 1 - first + 3 * bool(first)) + "^"
    yield f"{'| ':>{len(margin)}}{caret}{'' if place == '$' else f' {place}'}"


def error_lines(
    error: Mapping[str, Any], cut: Callable[[str], str] = str
) -> Iterator[str]:
    """Yield the lines about the error of a run: text, step, line of the file, values.

    `cut` shortens the lines that may be long.
    """
    yield f"{error.get('kind')}: {error.get('text')}"
    place, name = error.get("place"), error.get("name")
    if place:
        yield f"at {place}" if name == place else f"at {name}  ({place})"
    match error.get("source"):
        case {
            "file": file,
            "line": line,
            "column": column,
            "row": row,
            "row_column": of,
        }:
            at = Position(_path(file), line, column - of + 1, row)
            yield f"{at.file}:{line}:{column}"
            yield from map(cut, quoted(at))
        case {"file": file, "fault": fault}:
            yield f"in {_path(file)}; {fault}"
    yield from map(cut, (error.get("ctx") or "").splitlines())


def _path(file: str) -> str:
    """Return the path of a file, from the working directory if it is below that."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def counted(findings: Iterable[Diagnostic]) -> Counter[Level]:
    """Count the findings of each level."""
    return Counter(one.level for one in findings)


def summary(levels: Counter[Level], allowed: int) -> str:
    """Return the counts in words; notes and allowed findings only if there are any."""
    parts = [counted_as(levels[Level.ERROR], "error")]
    parts.append(counted_as(levels[Level.WARN], "warning"))
    if levels[Level.INFO]:
        parts.append(counted_as(levels[Level.INFO], "note"))
    if allowed:
        parts.append(f"{allowed} allowed")
    return ", ".join(parts)
