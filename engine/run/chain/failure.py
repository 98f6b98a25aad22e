"""The failure of a chain: its error, the place in the flow, and the Ctx that it was about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from engine.flow.errors import FlowError
from engine.flow.expr import Lit, PathExpr
from engine.flow.json_text import Json, dump_compact
from engine.flow.nodes import Node
from engine.flow.offloaded import looked_into
from engine.flow.path import Path, has_key
from engine.flow.shortened import shortened
from engine.run.chain.chain import Chain, place_of
from engine.run.chain.layout import Layout

MOST_PATHS: Final = 4
MOST_TEXT: Final = 200
"""The characters that are shown of one value of the Ctx."""


def failure_of(layout: Layout, chain: Chain, error: FlowError, left: bool) -> list[str]:
    """Return kind, text, place and part of the Ctx of the error that ends a chain.

    `left` is set where the error is of the innermost frame, whose child has ended, or of
    the whole chain. The frames are of no use afterwards.
    """
    number = chain.cursor
    if left and chain.frames:
        number = chain.cursor = chain.frames.pop().node
    elif left:
        number = chain.fanout
    place = chain.prefix if number == chain.fanout else place_of(layout, chain)
    about = "" if error.kind == "DispatcherError" else _about(layout, number, chain)
    return [error.kind, str(error), place, about]


def _about(layout: Layout, number: int, chain: Chain) -> str:
    """Return a line for each path that a node reads: the path and its value."""
    lines: dict[str, str] = {}
    for path in _paths(layout.nodes[number], top=True):
        if len(lines) < MOST_PATHS:
            at, value = _nearest(path, chain.doc.value)
            lines.setdefault(at, f"{at} = {_shown(value)}")
    if len(lines) > 1:
        # The whole Ctx is shown of a node alone that reads nothing else.
        lines.pop("$", None)
    return "\n".join(lines.values())


def _paths(part: Any, *, top: bool = False) -> Iterator[Path]:
    """Yield the paths that the expressions of a node or of an expression read.

    The nodes below a node are not part of it.
    """
    if isinstance(part, PathExpr):
        yield part.at
    elif isinstance(part, (tuple, Mapping)):
        for one in part.values() if isinstance(part, Mapping) else part:
            yield from _paths(one)
    elif isinstance(part, Lit):
        return
    elif is_dataclass(part) and (top or not isinstance(part, Node)):
        for field in fields(part):
            yield from _paths(getattr(part, field.name))


def _nearest(path: Path, ctx: Json) -> tuple[str, Json]:
    """Return the longest part of a path that exists, and its value."""
    for length, key in enumerate(path.keys):
        content = looked_into(ctx)
        if not has_key(content, key):
            return str(Path("$", path.keys[:length])), ctx
        ctx = content[key]
    return str(Path("$", path.keys)), ctx


def _shown(value: Json) -> str:
    text = dump_compact(shortened(value))
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
