"""Rows of the live tree: steps nested by their places, the newest of them.

A lane stands below its fanout and an iteration below its loop. Where a lane or iteration
has one row only, that row stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

SHOWN_TURNS: Final = 8
"""The most lanes or iterations that are drawn below their fanout or loop."""

TURN: Final = re.compile(r"/(lane|body)\[(\d+)\]")


@dataclass(eq=False)
class Row:
    """One row: a step (or what stands for several), or what others stand below.

    `sort` is `step`, `fanout`, `loop`, `turn` (a lane or an iteration) or `earlier`
    (what is left out, `count` of them). An item has a `status`.
    """

    sort: str
    place: str
    item: Any = None
    count: int = 0
    below: list[Row] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The status that stands for a row: what is under way, else the newest."""
        found = [item.status for item in self.leaves()]
        for status in ("running", "retry", "pending"):
            if status in found:
                return status
        return found[-1] if found else "pending"

    def leaves(self) -> list[Any]:
        """Return the items at and below this row, in order."""
        if self.sort == "step":
            return [self.item]
        return [item for row in self.below for item in row.leaves()]


def nested(items: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return items, each with its place, as a forest of rows."""
    roots: list[Row] = []
    known: dict[str, Row] = {}
    for place, item in items:
        rows = roots
        for turn in TURN.finditer(place):
            around, here = place[: turn.start()], place[: turn.end()]
            sort = "fanout" if turn[1] == "lane" else "loop"
            whole = _row(known, rows, sort, f"{around} {sort}", around)
            whole.count = max(whole.count, int(turn[2]) + 1)
            rows = _row(known, whole.below, "turn", here, here).below
        rows.append(Row("step", place, item))
    return [_tidied(row) for row in roots]


def _row(
    known: dict[str, Row], rows: list[Row], sort: str, key: str, place: str
) -> Row:
    if key not in known:
        known[key] = Row(sort, place)
        rows.append(known[key])
    return known[key]


def _tidied(row: Row) -> Row:
    """Return a row with the newest below it, and a turn of one row as that row."""
    hidden = len(row.below) - SHOWN_TURNS
    left_out = []
    if row.sort in ("fanout", "loop") and hidden > 0:
        left_out = [Row("earlier", row.place, count=hidden)]
        del row.below[:hidden]
    if row.sort == "fanout":
        row.below.sort(key=_index)
    row.below = left_out + [_tidied(one) for one in row.below]
    if row.sort == "turn" and len(row.below) == 1:
        return row.below[0]
    return row


def _index(turn: Row) -> int:
    return int(turn.place.rpartition("[")[2].rstrip("]"))


def newest(roots: list[Row], most: int) -> tuple[set[Row], int]:
    """Return the last rows with what they stand below, and how many are left out."""
    parents: dict[Row, Row | None] = {}
    stack: list[tuple[Row, Row | None]] = [(row, None) for row in reversed(roots)]
    while stack:
        row, parent = stack.pop()
        parents[row] = parent
        stack.extend((one, row) for one in reversed(row.below))
    kept: set[Row] = set()
    for row in reversed(parents):
        wanted: list[Row] = []
        at: Row | None = row
        while at is not None and at not in kept:
            wanted.append(at)
            at = parents[at]
        if len(kept) + len(wanted) > most:
            break
        kept.update(wanted)
    return kept, len(parents) - len(kept)
