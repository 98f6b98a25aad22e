"""The origin of a run's Blueprint: the file that it was loaded from, and its lines.

It is kept with the task of a run, so that an error of the flow is shown with its line.
Nobody who looks at a run executes the author's code: the lines of a script are noted at
the launch, those of JSON and YAML are found in the file.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blueprints.loaders.blueprint import Loaded
from blueprints.loaders.files import FileUnreadable, read_file
from blueprints.loaders.lua_script import SCRIPT, lines_of_script
from blueprints.loaders.positions import with_positions
from blueprints.loaders.python_file import PYTHON, lines_of_file
from engine.blueprint.findings.diagnostics import Diagnostic, Position, place_in

_VISIT: Final = re.compile(r"/(?:body|lane)\[\d+\]")
_FLOW: Final = "flow"
# YAML and JSON are parsed at each view: a page may not take seconds.
MOST_SEARCHED: Final = 128 * 1024
LONGEST_ROW: Final = 400


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The line of a node in the file of its Blueprint.

    `position` is None, and `fault` the reason, where the file is no longer what was
    loaded.
    """

    file: str
    position: Position | None = None
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return file, line, column and the line's text, or the file and the fault.

        Of a long line it is the part around the column, and `row_column` its beginning.
        """
        at = self.position
        if at is None:
            return {"file": self.file, "fault": self.fault}
        first = max(0, at.column - 1 - LONGEST_ROW // 2)
        return {
            "file": self.file,
            "line": at.line,
            "column": at.column,
            "row": at.row[first : first + LONGEST_ROW],
            "row_column": first + 1,
        }


def origin_of(loaded: Loaded) -> dict[str, Any]:
    """Return the origin of a loaded Blueprint as a JSON object."""
    origin: dict[str, Any] = {
        "file": os.path.abspath(loaded.path),
        "sha256": loaded.sha256,
    }
    name, noted = loaded.path.name.lower(), None
    try:
        if name.endswith(SCRIPT):
            noted = lines_of_script(loaded.path, loaded.params)
        elif name.endswith(PYTHON):
            noted = lines_of_file(loaded.path)
    except (LookupError, FileUnreadable):
        # Its author has changed the file since it was loaded.
        noted = []
    if noted is not None:
        origin["lines"] = {
            _pointer(keys[1:]): line for keys, line in noted if keys[:1] == [_FLOW]
        }
    return origin


def source_line(origin: Any, place: str) -> SourceLine | None:
    """Return the line of the node at a place of a run; None if no origin is kept."""
    match origin:
        case {"file": str(file), "sha256": str(digest)}:
            pass
        case _:
            return None
    try:
        content = read_file(file)
    except FileUnreadable:
        return SourceLine(file, fault="the file can't be read any more")
    if hashlib.sha256(content).hexdigest() != digest:
        return SourceLine(file, fault="the file has changed since the run was launched")
    keys = _keys(place)
    if "lines" in origin:
        position = _noted(file, content, origin["lines"], keys)
    elif len(content) > MOST_SEARCHED:
        most = f"{MOST_SEARCHED // 1024} KiB"
        return SourceLine(
            file, fault=f"its line isn't searched beyond {most} of YAML or JSON"
        )
    else:
        found = Diagnostic(place_in("$", [_FLOW, *keys]), "", "")
        position = with_positions(Path(file), [found])[0].position
    fault = "" if position else "its lines are not known"
    return SourceLine(file, position, fault)


def _keys(place: str) -> list[str | int]:
    """Return the keys below `flow` of the node at a place of a run."""
    parts = _VISIT.sub("/body", place).split("/")[1:]
    return [int(part) if part.isdecimal() else part for part in parts]


def _pointer(keys: list[str | int]) -> str:
    return "".join(f"/{key}" for key in keys)


def _noted(
    file: str, content: bytes, lines: dict[str, int], keys: list[str | int]
) -> Position | None:
    """Return the position of the nearest node around some keys whose line was noted."""
    for length in range(len(keys), -1, -1):
        line = lines.get(_pointer(keys[:length]))
        if line is not None:
            rows = content.decode("utf-8", "replace").split("\n")
            row = rows[line - 1].rstrip("\r") if line <= len(rows) else ""
            return Position(file, line, len(row) - len(row.lstrip()) + 1, row)
    return None
