"""Lines and columns of the parts of a document, found in the text of its file.

The file is read again when there is a finding, so that loading costs nothing more.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import FileUnreadable, read_text
from blueprints.loaders.lua_script import SCRIPT, lines_of_script
from blueprints.loaders.python_file import PYTHON, lines_of_file
from blueprints.loaders.references import AGENT, FILE, LITERAL
from blueprints.loaders.yaml_text import compose_yaml
from engine.blueprint.findings.diagnostics import Diagnostic, Position, place_parts
from engine.flow.json_text import Json

Mark: TypeAlias = tuple[int, int]
"""A line and a column, which count from 0."""
Finder: TypeAlias = Callable[[Diagnostic], Mark]
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# The position within a text of the document, which that in the file replaces.
_IN_TEXT: Final = re.compile(r"^(?:line \d+ )?column \d+: ")
_JSON: Final = json.JSONDecoder()
# A file that was changed since it was loaded may be anything.
_FAULTS: Final = (LookupError, ValueError, RecursionError, yaml.YAMLError)


def with_positions(
    path: Path, found: Iterable[Diagnostic], params: Json = None
) -> tuple[Diagnostic, ...]:
    """Return findings about the document in a file with their positions.

    `params` are the parameters of a script. A part that the text does not have, such as
    one of a referenced file, has the position of the nearest part around it.
    """
    every = tuple(found)
    if not every:
        return every
    try:
        text = read_text(path)
        find = _finder(path, text, params)
        marks = [find(one) for one in every]
    except (FileUnreadable, *_FAULTS):
        return every
    rows = text.split("\n")
    return tuple(
        replace(
            one,
            position=_position(path, rows, mark),
            message=_IN_TEXT.sub("", one.message),
        )
        for one, mark in zip(every, marks, strict=True)
    )


def diagnostic_of(error: DocumentInvalid) -> Diagnostic:
    """Return the error of a file as a finding, with its position if it has one."""
    found, path = error.diagnostic, Path(error.file)
    if not error.line:
        return with_positions(path, [found])[0] if error.place else found
    try:
        rows = read_text(path).split("\n")
    except FileUnreadable:
        rows = []
    mark = error.line - 1, error.column - 1
    return replace(found, position=_position(path, rows, mark))


def _position(path: Path, rows: Sequence[str], mark: Mark) -> Position:
    line, column = mark
    row = rows[line].rstrip("\r") if line < len(rows) else ""
    if column < 0:
        column = len(row) - len(row.lstrip())
    return Position(str(path), line + 1, column + 1, row)


def _finder(path: Path, text: str, params: Json) -> Finder:
    """Return the function that finds the mark of a finding in a text."""
    name = path.name.lower()
    if name.endswith(SCRIPT):
        return _line_finder(text, lines_of_script(path, params))
    if name.endswith(PYTHON):
        return _line_finder(text, lines_of_file(path))
    if not name.endswith(".json"):
        node = compose_yaml(text)
        root = _Member("", _mark_of(node), _mark_of(node), node)
        return partial(_find, text.split("\n"), root, _yaml_members)
    starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(index: int) -> Mark:
        line = bisect_right(starts, index) - 1
        return line, index - starts[line]

    @cache
    def members(index: int) -> Sequence[_Member]:
        return [
            _Member(key, mark(key_at), mark(at), at)
            for key, key_at, at in _json_members(text, index)
        ]

    begin = _past_space(text, 0)
    root = _Member("", mark(begin), mark(begin), begin)
    return partial(_find, text.split("\n"), root, members)


class _Member(NamedTuple):
    """A member of a container; `value` is what its own members are found by."""

    key: str | int
    key_mark: Mark
    mark: Mark
    value: Any

    @property
    def shown(self) -> Mark:
        """Where the member is shown: at its value, or at the key of one below it."""
        return self.mark if self.mark[0] == self.key_mark[0] else self.key_mark


Members: TypeAlias = Callable[[Any], Iterable[_Member]]


def _find(
    rows: Sequence[str], root: _Member, members: Members, found: Diagnostic
) -> Mark:
    at = root
    for part in place_parts(found.place):
        below = _member(members, at, part)
        if below is None:
            return at.shown
        at = below
    if found.key:
        # Of two equal keys, the second is the fault.
        keys = [one for one in members(at.value) if one.key == found.key]
        return keys[-1].key_mark if keys else at.shown
    return at.shown if found.offset is None else _inside(rows, at.mark, found.offset)


def _inside(rows: Sequence[str], mark: Mark, offset: int) -> Mark:
    """Return the mark of a character of a text, if the text stands on one line.

    An escape or a line break before the character moves it; then it is a near one.
    """
    line, column = mark
    row = rows[line]
    opening = row[column : column + 1]
    if opening in "|>" and opening:
        # A block of lines, most often of one, below its key.
        below = rows[line + 1] if line + 1 < len(rows) else ""
        line, column = line + 1, len(below) - len(below.lstrip())
    elif opening in "\"'" and opening:
        column += 1
    last = max(column, len(rows[line].rstrip()))
    return line, min(column + offset, last)


def _member(members: Members, at: _Member, part: str | int) -> _Member | None:
    """Return a member; for one of a referenced file, the reference."""
    named = {one.key: one for one in members(at.value)}
    if part not in named and LITERAL in named:
        return _member(members, named[LITERAL], part)
    return named.get(part) or named.get(FILE) or named.get(AGENT)


def _mark_of(node: yaml.Node) -> Mark:
    return node.start_mark.line, node.start_mark.column


def _yaml_members(node: yaml.Node) -> Iterator[_Member]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield _Member(key.value, _mark_of(key), _mark_of(value), value)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield _Member(number, _mark_of(item), _mark_of(item), item)


def _json_members(text: str, index: int) -> Iterator[tuple[str | int, int, int]]:
    """Yield key or number, its index and the index of the value of each member."""
    if text[index] not in "[{":
        return
    at, number = _past_space(text, index + 1), 0
    while text[at] not in "]}":
        key, key_at = number, at
        if text[index] == "{":
            key, at = _JSON.raw_decode(text, at)
            # The colon stands between key and value.
            at = _past_space(text, _past_space(text, at) + 1)
        yield key, key_at, at
        at = _past_space(text, _JSON.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _past_space(text, at + 1)
        number += 1


def _past_space(text: str, index: int) -> int:
    found = _SPACE.match(text, index)
    return index if found is None else found.end()


def _line_finder(text: str, lines: Sequence[tuple[list[str | int], int]]) -> Finder:
    """Return the finder for a script whose calls made the parts at some places.

    What no call made has the line of the last `return`: there the document ends.
    """
    known = {tuple(parts): line for parts, line in lines}
    returns = re.finditer(r"^[ \t]*return\b", text, re.MULTILINE)
    ends = [found.start() for found in returns]
    known.setdefault((), text.count("\n", 0, ends[-1]) + 1 if ends else 1)

    def find(found: Diagnostic) -> Mark:
        parts = tuple(place_parts(found.place))
        while parts not in known:
            parts = parts[:-1]
        return known[parts] - 1, -1

    return find
