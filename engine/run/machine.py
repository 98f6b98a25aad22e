"""The machine: moves one chain as far as it goes without an agent. Pure, resumable.

`advance(layout, chain, signal)` is deterministic given its arguments; it moves the
chain in place and says what is needed next. Semantics: engine/flow/interpreter, which
tests hold it against.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never, cast

from engine.flow import FlowError
from engine.flow.errors import FlowErrorKind, dispatcher_error
from engine.flow.expr import MULTIPLYING, Expr
from engine.flow.json_text import MAX_DEPTH
from engine.flow.nodes import (
    Assign,
    Branch,
    Fanout,
    Loop,
    Node,
    Seq,
    Step,
    Try,
    branch_taken,
    check_loop_end,
    error_record,
    fanout_items,
    require_item,
    target_path,
)
from engine.flow.values import truthy
from engine.run.chain import CTX_LIMIT, Chain, Frame, place_of, too_deep
from engine.run.ctx import is_deeper, outgrows
from engine.run.layout import Layout

# What the flow is told of a step that nobody can do.
NO_AGENT: Final = "no agent has this name"
TOO_LARGE: Final = (
    "input is larger than SWARM_INPUT_LIMIT: hand the step only the part it needs"
)
CTX: Final = "the Ctx is"
FUEL_NODES: Final = 20_000
FUEL_S: Final = 0.05
MOST_BYTES: Final = 40 << 20
# A node may look at a million elements, so the clock is looked at often.
CLOCK_EVERY: Final = 16

Externs = Mapping[str, Callable[[list[Any]], Any]]


@dataclass(frozen=True, slots=True)
class Passed:
    """The pending step's agent gave this value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The pending step failed for good, with this text."""

    text: str


@dataclass(frozen=True, slots=True)
class JoinedValue:
    """The awaited chord was decided: its value and how the log refers to it."""

    value: Any
    line: Callable[[Any], bytes]
    depth: int


@dataclass(frozen=True, slots=True)
class Raised:
    """An error of the flow at the cursor, such as that of the lane that decided."""

    kind: str
    text: str


Signal = Passed | Failed | JoinedValue | Raised | None


@dataclass(frozen=True, slots=True)
class StepRequest:
    """The chain waits for an agent: `ref` with this input, at this place."""

    ref: str
    input: Any
    place: str


@dataclass(frozen=True, slots=True)
class Fork:
    """The chain waits for a chord over these items."""

    node: Fanout
    number: int
    items: list[Any]
    place: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The chain is at its end: with `error` [kind, text], or well."""

    error: list[str] | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Fuel ran out: commit what is done and go on as a new delivery."""

    place: str


Next = StepRequest | Fork | Ended | Checkpoint


class _Outgrown(Exception):
    """A value would take gigabytes to be written out; the text says which."""


class Machine:
    """Moves chains of one flow."""

    def __init__(
        self,
        layout: Layout,
        externs: Externs | None = None,
        *,
        agents: Container[str] | None = None,
        fuel_nodes: int = FUEL_NODES,
        fuel_s: float = FUEL_S,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind a flow and the pure functions its expressions may call.

        A step whose ref is not among `agents` fails where it stands; a Blueprint
        without strict_refs may have such steps. `most_bytes` ends a chain before more
        is written out at once, and is above every limit that is kept with more care.
        """
        self.layout = layout
        self._agents = agents
        self._externs = externs
        self._fuel_nodes = max(1, fuel_nodes)
        self._fuel_s = fuel_s
        self._most_bytes = most_bytes
        self._clock = clock

    def advance(self, chain: Chain, signal: Signal = None) -> Next:
        """Move a chain until it needs an agent, a chord, more fuel, or has ended."""
        try:
            return self._advance(chain, signal)
        except _Outgrown as too_large:
            chain.outgrown = str(too_large)
            return self._end(chain, ["CtxLimit", f"{chain.outgrown} too large"])

    def _advance(self, chain: Chain, signal: Signal) -> Next:
        nodes = self.layout.nodes
        error: FlowError | None = None
        entering = signal is None
        if signal is not None:
            error = self._take(chain, signal)
        used, until = 0, self._clock() + self._fuel_s
        while True:
            try:
                if error is not None:
                    raised, error = error, None
                    if not self._catch(chain, raised):
                        return self._end(chain, [raised.kind, str(raised)])
                    entering = True
                elif entering:
                    used += 1
                    if used > self._fuel_nodes or (
                        used % CLOCK_EVERY == 0 and self._clock() > until
                    ):
                        chain.phase = "c"
                        return Checkpoint(place_of(self.layout, chain))
                    entered = self._enter(chain, nodes[chain.cursor])
                    if isinstance(entered, bool):
                        entering = entered
                    else:
                        return entered
                elif chain.frames:
                    entering = self._leave(chain)
                else:
                    self._select(chain)
                    return self._end(chain, None)
            except FlowError as raised:
                error = raised

    def request(self, chain: Chain) -> StepRequest | FlowError:
        """Evaluate the input of the step a claimed chain waits at, once more."""
        node = self.layout.nodes[chain.cursor]
        assert isinstance(node, Step)  # noqa: S101 - phase s always points at a step
        try:
            value = self._input(chain, node)
        except FlowError as error:
            return error
        return StepRequest(node.ref, value, place_of(self.layout, chain))

    def _evaluate(self, chain: Chain, expr: Expr, what: str) -> Any:
        """Evaluate what will be written out; _Outgrown if that would take too much."""
        value = chain.doc.evaluate(expr, self._externs)
        if type(expr) in MULTIPLYING and outgrows(value, self._most_bytes):
            raise _Outgrown(what)
        return value

    def _input(self, chain: Chain, node: Step) -> Any:
        try:
            return self._evaluate(chain, node.input, "")
        except _Outgrown:
            raise dispatcher_error(node.ref, TOO_LARGE) from None

    def _end(self, chain: Chain, error: list[str] | None) -> Ended:
        chain.phase, chain.end = "e", error
        return Ended(error)

    def _select(self, chain: Chain) -> None:
        """Put what is to be joined of a lane in the place of its Ctx."""
        if chain.fanout < 0:
            return
        node = self.layout.nodes[chain.fanout]
        assert isinstance(node, Fanout)  # noqa: S101 - a lane is of a fanout
        if node.select is not None:
            what = "what `select` gives of a lane is"
            chain.select(self._evaluate(chain, node.select, what))

    def _take(self, chain: Chain, signal: Signal) -> FlowError | None:
        node = self.layout.nodes[chain.cursor]
        try:
            match signal:
                case Passed(value=value):
                    assert isinstance(node, Step)  # noqa: S101 - see request
                    chain.write(target_path(node.out), value)
                case Failed(text=text):
                    assert isinstance(node, Step)  # noqa: S101 - see request
                    return dispatcher_error(node.ref, text)
                case JoinedValue(value=value, line=line, depth=depth):
                    assert isinstance(node, Fanout)  # noqa: S101 - phase j
                    path = target_path(node.out)
                    chain.write_as(path, value, line(path), depth)
                case Raised(kind=kind, text=text):
                    # Kinds of the runtime (Lost, CtxLimit) travel beside the language's.
                    return FlowError(cast(FlowErrorKind, kind), text)
                case None:
                    pass
                case _:
                    assert_never(signal)
        except FlowError as error:
            return error
        return None

    def _enter(self, chain: Chain, node: Node) -> bool | StepRequest | Fork:
        """Enter the node at the cursor; True: enter the new cursor, False: it is done."""
        doc, number = chain.doc, chain.cursor
        children = self.layout.children[number]
        match node:
            case Step():
                value = self._input(chain, node)
                if self._agents is not None and node.ref not in self._agents:
                    raise dispatcher_error(node.ref, NO_AGENT)
                chain.phase = "s"
                return StepRequest(node.ref, value, place_of(self.layout, chain))
            case Assign():
                chain.write(
                    target_path(node.at), self._evaluate(chain, node.value, CTX)
                )
                return self._is_done(chain)
            case Seq():
                if not children:
                    return False
                return self._push(chain, Frame(number, 0), children[0])
            case Branch():
                side = 0 if branch_taken(doc.evaluate(node.cond, self._externs)) else 1
                return self._push(chain, Frame(number, side), children[side])
            case Loop():
                chain.write(target_path(node.counter), 0)
                chain.frames.append(Frame(number, 0))
                return self._loop(chain, node, chain.frames[-1])
            case Try():
                # The snapshot is taken first: it ends the ownership of what was written.
                frame = Frame(number, 0, chain.offset, doc.snapshot())
                return self._push(chain, frame, children[0])
            case Fanout():
                return self._fork(chain, node, number)
            case _:
                assert_never(node)

    def _is_done(self, chain: Chain) -> bool:
        """Return False, of a write; _Outgrown if all the edits would take too much."""
        if chain.offset > self._most_bytes:
            raise _Outgrown(CTX)
        return False

    def _push(self, chain: Chain, frame: Frame, cursor: int) -> bool:
        chain.frames.append(frame)
        chain.cursor = cursor
        return True

    def _loop(self, chain: Chain, node: Loop, frame: Frame) -> bool:
        if frame.at < node.max:
            if truthy(chain.doc.evaluate(node.cond, self._externs)):
                chain.cursor = self.layout.children[frame.node][0]
                return True
        elif node.on_max == "fail":
            check_loop_end(node, chain.doc.evaluate(node.cond, self._externs))
        chain.frames.pop()
        return False

    def _fork(self, chain: Chain, node: Fanout, number: int) -> bool | Fork:
        what = "the items of a fanout are"
        items = fanout_items(self._evaluate(chain, node.items, what))
        require_item(node.join, items)
        if not items:
            chain.write(target_path(node.out), [])
            return False
        # A bind that fails for one item fails for all: only the Ctx can be in its way.
        # So it is tried once, before any lane starts, and fails the whole fanout.
        bind, before = target_path(node.bind), chain.doc.snapshot()
        if is_deeper(items, MAX_DEPTH + 1 - len(bind.keys)):
            raise FlowError(CTX_LIMIT, too_deep(f"cannot bind the items to '{bind}'"))
        chain.doc.write(bind, None)
        chain.doc.restore(before)
        chain.phase = "j"
        return Fork(node, number, items, place_of(self.layout, chain))

    def _leave(self, chain: Chain) -> bool:
        """Go on after the innermost frame's child has ended; True: enter the cursor."""
        frame = chain.frames[-1]
        node = self.layout.nodes[frame.node]
        match node:
            case Seq():
                children = self.layout.children[frame.node]
                frame.at += 1
                if frame.at < len(children):
                    chain.cursor = children[frame.at]
                    return True
            case Loop():
                frame.at += 1
                chain.write(target_path(node.counter), frame.at)
                return self._loop(chain, node, frame)
            case _:
                pass
        chain.frames.pop()
        return False

    def _catch(self, chain: Chain, error: FlowError) -> bool:
        """Unwind to the innermost try still in its body and enter its catch.

        Raises FlowError when `err_at` can't be written: that error goes further up.
        """
        while chain.frames:
            frame = chain.frames[-1]
            node = self.layout.nodes[frame.node]
            if not isinstance(node, Try) or frame.at != 0:
                chain.frames.pop()
                continue
            chain.roll_back(frame)
            frame.at, frame.rollback, frame.snapshot = 1, -1, None
            chain.cursor = self.layout.children[frame.node][1]
            if node.err_at is not None:
                chain.write(target_path(node.err_at), error_record(node, error))
            return True
        return False
