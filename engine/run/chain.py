"""A chain: one sequential thread of control with a Ctx of its own, as pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, cast

import orjson

from engine.flow.document import Document
from engine.flow.errors import FlowError, FlowErrorKind, type_error
from engine.flow.json_text import MAX_DEPTH
from engine.flow.nodes import Loop
from engine.flow.path import Path
from engine.run.ctx import Lanes, depth_of, dump_edit
from engine.run.layout import Layout

# A kind of the runtime, which travels beside the language's.
CTX_LIMIT: Final = cast(FlowErrorKind, "CtxLimit")

Phase = Literal["s", "c", "j", "e"]
"""s a step is pending at the cursor, c the cursor is to be entered, j the cursor is a
fanout whose join is awaited, e the chain has ended and only has to say so."""


@dataclass(slots=True)
class Frame:
    """An enclosing node that the chain is inside of.

    `at` is the child index of a seq, 0 or 1 for a branch's and a try's two children,
    the finished iterations of a loop. `rollback` is the log offset a try goes back to,
    `snapshot` the Ctx there.
    """

    node: int
    at: int
    rollback: int = -1
    snapshot: Any = None


@dataclass(slots=True)
class Chain:
    """The state of a chain in memory; `machine.advance` moves it in place.

    `start` is the offset in the stored edit log where `edits` are to be written: a
    rollback lowers it. `prefix` is the place of the chain's first node.
    """

    frames: list[Frame]
    cursor: int
    phase: Phase
    doc: Document
    start: int = 0
    edits: bytearray = field(default_factory=bytearray)
    prefix: str = ""
    end: Any = None
    """With phase e: None or [kind, text] of the failure."""
    consumed: str = ""
    """Address of the chord whose join was taken since the last commit."""
    opened: int = -1
    """With phase j: sequence number at which the awaited chord was opened."""
    origin_size: int = 0
    """Stored bytes of what the edit log starts from."""
    fanout: int = -1
    """Of a lane: the number of the fanout node whose body it runs."""
    selected: bool = False
    """A lane that has ended and whose Ctx is what its fanout's `select` gave."""
    folded: bool = False
    """A lane whose log starts from a base of its own, not from its chord's."""
    outgrown: str = ""
    """What became too large to be written out, which has ended the chain."""
    known: dict[str, Lanes] = field(default_factory=dict)
    """Joins inside the Ctx, by chord."""

    @property
    def offset(self) -> int:
        """Length of the edit log once the pending edits are written, in bytes."""
        return self.start + len(self.edits)

    def write(self, path: Path, value: Any) -> None:
        """Write a value at a path of the Ctx and note the edit; FlowError if it can't."""
        line, depth = storable_edit(path, value)
        self.write_as(path, value, line, depth)

    def write_as(self, path: Path, value: Any, line: bytes, depth: int) -> None:
        """Write a value, at most `depth` deep, whose stored form is `line`."""
        depth = checked_depth(path, value, depth)
        self.doc.write(path, value)
        self.doc.depth = max(self.doc.depth, depth)
        self.edits += line

    def select(self, value: Any) -> None:
        """Make the Ctx of an ended lane what is to be joined of it.

        Its edit log is then one line, which `replace_log` writes.
        """
        self.doc = Document(value)
        self.selected = True

    def replace_log(self, line: bytes) -> None:
        """Make `line`, an edit of the whole Ctx, the only one of the edit log."""
        self.start = 0
        self.edits[:] = line

    def roll_back(self, frame: Frame) -> None:
        """Take the Ctx and the edit log back to where a try began."""
        self.doc.restore(frame.snapshot)
        if frame.rollback >= self.start:
            del self.edits[frame.rollback - self.start :]
        else:
            self.start = frame.rollback
            self.edits.clear()

    def committed(self) -> None:
        """Note that the pending edits are written."""
        self.start += len(self.edits)
        self.edits.clear()
        self.consumed = ""

    def in_try(self) -> bool:
        """Tell whether a rollback point is alive (the log can't be folded then)."""
        return any(frame.rollback >= 0 for frame in self.frames)

    def pack(self) -> bytes:
        """Return the frames as stored in the chain's record."""
        if self.phase == "e":
            return b"e" + orjson.dumps(self.end)
        body: list[Any] = [self.cursor]
        if self.phase == "j":
            body.append(self.opened)
        for frame in self.frames:
            part = [frame.node, frame.at]
            if frame.rollback >= 0:
                part.append(frame.rollback)
            body.append(part)
        return self.phase.encode() + orjson.dumps(body)


def checked_depth(path: Path, value: Any, depth: int) -> int:
    """Return how deep a Ctx is at a path once a value is there; FlowError if too deep.

    `depth` is a bound of the value's own, which is measured only where that is too much.
    """
    if len(path.keys) + depth > MAX_DEPTH:
        depth = depth_of(value)
        if len(path.keys) + depth > MAX_DEPTH:
            raise FlowError(CTX_LIMIT, too_deep(f"cannot write path '{path}'"))
        if isinstance(value, Lanes):
            value.depth = depth
    return len(path.keys) + depth


def too_deep(what: str) -> str:
    """Return the text of an error: what can't be done because the Ctx gets too deep."""
    return (
        f"{what}: the Ctx would be nested deeper than {MAX_DEPTH} containers."
        " Let the join collect only the part you need, or write flat values"
    )


def storable_edit(path: Path, value: Any) -> tuple[bytes, int]:
    """Return the edit line of a value and its depth; FlowError if it can't be stored."""
    try:
        return dump_edit(path, value)
    except orjson.JSONEncodeError as error:
        if depth_of(value) > MAX_DEPTH:
            raise FlowError(
                CTX_LIMIT, too_deep(f"cannot write path '{path}'")
            ) from None
        raise type_error("path.write", f"can't be held as JSON: {error}") from None


def unpack_frames(
    packed: bytes, first: int
) -> tuple[Phase, int, list[Frame], Any, int]:
    """Read stored frames: phase, cursor, frames, end, opened.

    A record without frames is a lane that was claimed for the first time; it enters
    at `first`.
    """
    phase: Phase = chr(packed[0])  # type: ignore[assignment]
    if phase == "e":
        return phase, first, [], orjson.loads(packed[1:]), -1
    if len(packed) == 1:
        return phase, first, [], None, -1
    cursor, *rest = orjson.loads(packed[1:])
    opened = rest.pop(0) if phase == "j" else -1
    return phase, cursor, [Frame(*part) for part in rest], None, opened


def place_of(layout: Layout, chain: Chain) -> str:
    """Return the place of the chain's cursor, such as `/children/1/body[3]`."""
    parts = [chain.prefix]
    frames = chain.frames
    inner = [frame.node for frame in frames[1:]]
    inner.append(chain.cursor)
    for frame, child in zip(frames, inner, strict=False):
        parts.append(layout.edges[child])
        if isinstance(layout.nodes[frame.node], Loop):
            parts.append(_iteration(frame.at))
    return "".join(parts)


@lru_cache(maxsize=1024)
def _iteration(n: int) -> str:
    return f"[{n}]"
