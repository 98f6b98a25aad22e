"""A document as text for people, and the difference of two such texts."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.comparison.sequences import Pairs, common_pairs
from engine.flow.json_text import Json, dump_visible

_CONTEXT: Final = 3


def readable_text(document: Json) -> str:
    """Return a document as indented JSON in which a text of several lines has them.

    Such a text begins with `|` and is indented below it, a line each. The form is for
    reading alone.
    """
    return "".join(f"{line}\n" for line in _lines(document, "", ""))


def text_diff(old: Json, new: Json) -> str:
    """Return the unified diff of two documents' readable texts, empty if these agree."""
    here, there = (readable_text(one).split("\n")[:-1] for one in (old, new))
    if here == there:
        return ""
    lines = ["--- old", "+++ new"]
    for hunk in _hunks(common_pairs(here, there), len(here), len(there)):
        lines += _hunk_lines(hunk, here, there)
    return "".join(f"{line}\n" for line in lines)


def _lines(value: Json, start: str, indent: str) -> Iterator[str]:
    """Yield the lines of a value, the first after `start`."""
    below = f"{indent}  "
    if isinstance(value, dict) and value:
        yield f"{start}{{"
        for key, part in value.items():
            yield from _lines(part, f"{below}{dump_visible(key)}: ", below)
        yield f"{indent}}}"
    elif isinstance(value, list) and value:
        yield f"{start}["
        for part in value:
            yield from _lines(part, below, below)
        yield f"{indent}]"
    elif isinstance(value, str) and "\n" in value:
        yield f"{start}|"
        for line in value.split("\n"):
            yield f"{below}{dump_visible(line)[1:-1]}"
    else:
        yield f"{start}{dump_visible(value)}"


def _hunks(pairs: Pairs, old_size: int, new_size: int) -> Iterator[Pairs]:
    """Yield runs of changed lines with those around them, as pairs of line numbers.

    In a pair -1 stands for no line.
    """
    rows: Pairs = []
    i = j = 0
    for n, m in [*pairs, (old_size, new_size)]:
        rows += [(line, -1) for line in range(i, n)]
        rows += [(-1, line) for line in range(j, m)]
        rows += [(n, m)] if n < old_size else []
        i, j = n + 1, m + 1
    changed = [n for n, row in enumerate(rows) if -1 in row]
    start = 0
    for n, at in enumerate(changed):
        if n + 1 == len(changed) or changed[n + 1] - at > 2 * _CONTEXT + 1:
            low = max(0, changed[start] - _CONTEXT)
            yield rows[low : at + _CONTEXT + 1]
            start = n + 1


def _hunk_lines(hunk: Pairs, old: list[str], new: list[str]) -> Iterator[str]:
    ranges = [[row[side] for row in hunk if row[side] >= 0] for side in (0, 1)]
    here, there = (_range(lines) for lines in ranges)
    yield f"@@ -{here} +{there} @@"
    for n, m in hunk:
        mark = "+" if n < 0 else "-" if m < 0 else " "
        yield f"{mark}{new[m] if n < 0 else old[n]}"


def _range(lines: list[int]) -> str:
    """Return the lines of one side of a hunk as its heading names them."""
    return f"{lines[0] + 1},{len(lines)}" if lines else "0,0"
