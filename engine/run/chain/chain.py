"""A chain: one sequential thread of control with a Ctx of its own, as pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, cast

import orjson

from engine.flow.document import Document
from engine.flow.errors import FlowError, FlowErrorKind, type_error
from engine.flow.json_text import MAX_DEPTH
from engine.flow.nodes import Loop
from engine.flow.offloaded import Contents
from engine.flow.path import Path
from engine.run.chain.ctx import Lanes, delete_line, depth_of, dump_edit
from engine.run.chain.layout import Layout
from engine.run.chain.outputs import NO_CONTENTS, Shelf

# An error kind of the runtime; the language has only its own.
CTX_LIMIT: Final = cast(FlowErrorKind, "CtxLimit")


class Phase(StrEnum):
    """The phase of a chain; the value is the first letter of its stored frames."""

    STEP = "s"
    """A step is pending at the cursor."""
    ENTER = "c"
    """The machine is to enter the node at the cursor."""
    JOIN = "j"
    """The cursor is a fanout whose join is awaited."""
    END = "e"
    """The chain has ended; only its last transition is to be written."""


# A module's name costs a seventh of an enum's attribute, and each step asks for it.
STEP: Final = Phase.STEP
ENTER: Final = Phase.ENTER
JOIN: Final = Phase.JOIN
END: Final = Phase.END


@dataclass(slots=True)
class Frame:
    """A node that encloses the chain's cursor.

    `at` is the child index of a seq, 0 or 1 for a branch's and a try's two children,
    the finished iterations of a loop. `rollback` is the log offset to which a failed try
    returns, `snapshot` the Ctx there.
    """

    node: int
    at: int
    rollback: int = -1
    snapshot: Any = None


@dataclass(slots=True)
class Chain:
    """The state of a chain in memory; `machine.advance` moves it in place.

    `edits` are written at offset `start` of the stored edit log; a rollback lowers it.
    `prefix` is the place of the chain's first node.
    """

    frames: list[Frame]
    cursor: int
    phase: Phase
    doc: Document
    start: int = 0
    edits: bytearray = field(default_factory=bytearray)
    prefix: str = ""
    end: Any = None
    """With phase END: None or the failure, at least its kind and text."""
    consumed: str = ""
    """Address of the chord that the chain has joined since the last commit."""
    opened: int = -1
    """With phase JOIN: sequence number at which the awaited chord was opened."""
    origin_size: int = 0
    """Stored bytes of the value from which the edit log starts."""
    fanout: int = -1
    """The number of the fanout node whose lane this is; -1 for the root chain."""
    selected: bool = False
    """Whether the Ctx of this ended lane is the value of its fanout's `select`."""
    folded: bool = False
    """Whether this lane's log starts from its own base, not from its chord's."""
    outgrown: str = ""
    """The value whose size has ended the chain, as the subject of a sentence."""
    known: dict[str, Lanes] = field(default_factory=dict)
    """The joins inside the Ctx by the addresses of their chords."""
    shelf: Shelf | None = None
    """Takes values that are too large for the Ctx; None if all stay there."""

    @property
    def offset(self) -> int:
        """Length of the edit log once the pending edits are written, in bytes."""
        return self.start + len(self.edits)

    @property
    def contents(self) -> Contents:
        """What loads the values of the Ctx that are kept elsewhere."""
        return NO_CONTENTS if self.shelf is None else self.shelf.outputs

    def write(self, path: Path, value: Any) -> None:
        """Write a value at a path of the Ctx and note the edit, or raise FlowError."""
        try:
            line, depth = dump_edit(path, value)
        except orjson.JSONEncodeError as error:
            if depth_of(value) > MAX_DEPTH:
                text = too_deep(f"cannot write path '{path}'")
                raise FlowError(CTX_LIMIT, text) from None
            text = f"can't be written as JSON: {error}"
            raise type_error("path.write", text) from None
        if self.shelf is not None and len(line) > self.shelf.limit:
            kept = self.shelf.kept(value, is_ctx=not path.keys)
            if kept is not value:
                value, line = kept, dump_edit(path, kept)[0]
        self.write_as(path, value, line, depth)

    def write_as(self, path: Path, value: Any, line: bytes, depth: int) -> None:
        """Write a value of at most `depth` nested containers whose edit line is known."""
        depth = checked_depth(path, value, depth)
        self.doc.write(path, value)
        if depth > self.doc.depth:
            self.doc.depth = depth
        self.edits += line

    def delete(self, path: Path) -> None:
        """Remove the value at a path of the Ctx and note the edit, if there is one."""
        if self.doc.delete(path):
            self.edits += delete_line(path)

    def select(self, value: Any) -> None:
        """Replace the Ctx of an ended lane by the value that its chord joins.

        The edit log then becomes one line, which `replace_log` writes.
        """
        self.doc = Document(value)
        self.selected = True

    def replace_log(self, line: bytes) -> None:
        """Replace the edit log by `line`, an edit of the whole Ctx."""
        self.start = 0
        self.edits[:] = line

    def roll_back(self, frame: Frame) -> None:
        """Restore the Ctx and the edit log to the start of a try."""
        self.doc.restore(frame.snapshot)
        if frame.rollback >= self.start:
            del self.edits[frame.rollback - self.start :]
        else:
            self.start = frame.rollback
            self.edits.clear()

    def mark_committed(self) -> None:
        """Move `start` behind the pending edits, which are stored now."""
        self.start += len(self.edits)
        self.edits.clear()
        self.consumed = ""

    def in_try(self) -> bool:
        """Return whether a try encloses the cursor."""
        return any(frame.rollback >= 0 for frame in self.frames)

    def can_fold(self) -> bool:
        """Return whether no try may roll back to a Ctx before the present one.

        Before a fork the frames are packed after a fold, so that a try that begins there
        can be moved to the new log.
        """
        here = self.offset if self.phase is JOIN else -1
        return all(frame.rollback in (-1, here) for frame in self.frames)

    def move_rollbacks(self) -> None:
        """Let the tries roll back to the start of a new log, as nothing was written in them."""
        for frame in self.frames:
            if frame.rollback >= 0:
                frame.rollback, frame.snapshot = 0, self.doc.snapshot()

    def pack(self) -> bytes:
        """Return the phase and the frames as the chain's record stores them."""
        if self.phase is END:
            return b"e" + orjson.dumps(self.end)
        body: list[Any] = [self.cursor]
        if self.phase is JOIN:
            body.append(self.opened)
        for frame in self.frames:
            part = [frame.node, frame.at]
            if frame.rollback >= 0:
                part.append(frame.rollback)
            body.append(part)
        return self.phase.encode() + orjson.dumps(body)


def checked_depth(path: Path, value: Any, depth: int) -> int:
    """Return the depth of the Ctx at a path with a value, or raise FlowError.

    `depth` is an upper bound of the value's depth. The value itself is measured only
    where the bound exceeds the limit.
    """
    if len(path.keys) + depth > MAX_DEPTH:
        depth = depth_of(value)
        if len(path.keys) + depth > MAX_DEPTH:
            raise FlowError(CTX_LIMIT, too_deep(f"cannot write path '{path}'"))
        if isinstance(value, Lanes):
            value.depth = depth
    return len(path.keys) + depth


def too_deep(action: str) -> str:
    """Return the error text for an action that would nest the Ctx too deeply."""
    return (
        f"{action}: the Ctx would be nested deeper than {MAX_DEPTH} containers."
        " Let the join collect only the part you need, or write flat values"
    )


def unpack_frames(
    packed: bytes, first: int
) -> tuple[Phase, int, list[Frame], Any, int]:
    """Read stored frames: phase, cursor, frames, end, opened.

    A record without frames belongs to a lane before its first claim: the machine enters
    its body at `first`.
    """
    phase = Phase(chr(packed[0]))
    if phase is END:
        return phase, first, [], orjson.loads(packed[1:]), -1
    if len(packed) == 1:
        return phase, first, [], None, -1
    cursor, *rest = orjson.loads(packed[1:])
    opened = rest.pop(0) if phase is JOIN else -1
    return phase, cursor, [Frame(*part) for part in rest], None, opened


def place_of(layout: Layout, chain: Chain) -> str:
    """Return the place of the chain's cursor, such as `/children/1/body[3]`."""
    child, below = chain.cursor, ""
    for frame in reversed(chain.frames):
        if type(layout.nodes[frame.node]) is Loop:
            below = _iteration(frame.at) + below
        below = layout.edges[child] + below
        child = frame.node
    return chain.prefix + below


@lru_cache(maxsize=1024)
def _iteration(n: int) -> str:
    return f"[{n}]"
