"""The machine moves one chain as far as possible without an agent; pure and resumable.

`advance(chain, signal)` is deterministic: it moves the chain in place and returns what
the chain needs next. Tests compare it with the language's own engine/flow/interpreter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final, assert_never, cast

from engine.flow import FlowError
from engine.flow.errors import FlowErrorKind, dispatcher_error
from engine.flow.expr import MULTIPLYING, Expr
from engine.flow.json_text import MAX_DEPTH, JsonValue
from engine.flow.nodes import (
    Assign,
    Branch,
    Delete,
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
from engine.run.chain.chain import (
    CTX_LIMIT,
    END,
    ENTER,
    JOIN,
    STEP,
    Chain,
    Frame,
    place_of,
    too_deep,
)
from engine.run.chain.ctx import edit_line, is_deeper, outgrows
from engine.run.chain.failure import failure_of
from engine.run.chain.layout import Layout

# The error texts of a step whose agent is missing, and of one with too large an input.
NO_AGENT: Final = "no agent has this name"
TOO_LARGE: Final = (
    "input is larger than SWARM_INPUT_LIMIT: pass the step only the part that it needs"
)
CTX: Final = "the Ctx is"
FUEL_NODES: Final = 20_000
FUEL_S: Final = 0.05
MOST_BYTES: Final = 40 << 20
# One node may visit a million elements, so the clock is read often.
CLOCK_EVERY: Final = 16

Externs = Mapping[str, Callable[[list[Any]], Any]]


# Signals and needs of a step are not frozen, which would triple the cost of making one.
@dataclass(slots=True)
class Passed:
    """The agent of the pending step has returned this value."""

    result: JsonValue


@dataclass(frozen=True, slots=True)
class Failed:
    """The pending step has failed with this text, and is not retried."""

    text: str


@dataclass(frozen=True, slots=True)
class JoinedValue:
    """The awaited chord is decided: its value, and its line in the edit log."""

    value: Any
    line: Callable[[Any], bytes]
    depth: int


@dataclass(frozen=True, slots=True)
class Raised:
    """An error of the flow at the cursor, such as the failure of the deciding lane.

    `place` and `about` are those of the lane's failure.
    """

    kind: str
    text: str
    place: str = ""
    about: str = ""


Signal = Passed | Failed | JoinedValue | Raised | None


@dataclass(slots=True)
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


@dataclass(slots=True)
class Ended:
    """The chain has ended successfully, or with an error.

    `error` is kind and text, and place and part of the Ctx as far as they are known.
    """

    error: list[str] | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The fuel is used up: commit the chain and continue in a new delivery.

    `nodes` were entered; a machine with that many nodes of fuel stops at the same node.
    """

    place: str
    nodes: int


Next = StepRequest | Fork | Ended | Checkpoint


class _Outgrown(Exception):
    """A value would take gigabytes as JSON; the text names it."""


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

        A step whose ref is not among `agents` fails; a Blueprint without strict_refs may
        have such steps. `most_bytes` ends a chain before it serialises more at once; the
        exact limits are lower and are checked later.
        """
        self.layout = layout
        self._agents = agents
        self._externs = externs
        self._fuel_nodes = max(1, fuel_nodes)
        self._fuel_s = fuel_s
        self._most_bytes = most_bytes
        self._clock = clock

    def advance(self, chain: Chain, signal: Signal = None) -> Next:
        """Move a chain until it needs an agent, a chord or more fuel, or has ended."""
        try:
            return self._advance(chain, signal)
        except _Outgrown as too_large:
            chain.outgrown = str(too_large)
            text, place = f"{chain.outgrown} too large", place_of(self.layout, chain)
            return self._end(chain, [CTX_LIMIT, text, place, ""])

    def _advance(self, chain: Chain, signal: Signal) -> Next:
        nodes = self.layout.nodes
        error: FlowError | None = None
        entering, left = signal is None, False
        if signal is not None:
            error = self._take(chain, signal)
        used, until = 0, self._clock() + self._fuel_s
        while True:
            try:
                if error is not None:
                    raised, error = error, None
                    if not chain.in_try():
                        return self._fail(chain, raised, signal, left)
                    self._catch(chain, raised)
                    entering = True
                elif entering:
                    used += 1
                    if used > self._fuel_nodes or (
                        used % CLOCK_EVERY == 0 and self._clock() > until
                    ):
                        chain.phase = ENTER
                        return Checkpoint(place_of(self.layout, chain), used - 1)
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
                error, left, signal = raised, not entering, None

    def request(self, chain: Chain) -> StepRequest | FlowError:
        """Evaluate again the input of the step at which a claimed chain waits."""
        node = self.layout.nodes[chain.cursor]
        assert isinstance(node, Step)  # noqa: S101 - phase STEP always points at a step
        try:
            value = self._input(chain, node)
        except FlowError as error:
            return error
        return StepRequest(node.ref, value, place_of(self.layout, chain))

    def _evaluate(self, chain: Chain, expr: Expr, subject: str) -> Any:
        """Return a value that is to be serialised, or raise _Outgrown with `subject`."""
        value = chain.doc.evaluate(expr, self._externs)
        if type(expr) in MULTIPLYING and outgrows(value, self._most_bytes):
            raise _Outgrown(subject)
        return value

    def _input(self, chain: Chain, node: Step) -> Any:
        try:
            return self._evaluate(chain, node.input, "")
        except _Outgrown:
            raise dispatcher_error(node.ref, TOO_LARGE) from None

    def _end(self, chain: Chain, error: list[str] | None) -> Ended:
        chain.phase, chain.end = END, error
        return Ended(error)

    def _fail(
        self, chain: Chain, error: FlowError, signal: Signal, left: bool
    ) -> Ended:
        """End a chain with an error that no try catches."""
        if isinstance(signal, Raised) and signal.place:
            return self._end(chain, [*astuple(signal)])
        return self._end(chain, failure_of(self.layout, chain, error, left))

    def _select(self, chain: Chain) -> None:
        """Replace the Ctx of an ended lane by the value of its fanout's `select`."""
        if chain.fanout < 0:
            return
        node = self.layout.nodes[chain.fanout]
        assert isinstance(node, Fanout)  # noqa: S101 - a lane has a fanout
        if node.select is not None:
            subject = "the value that `select` gives for a lane is"
            chain.select(self._evaluate(chain, node.select, subject))

    def _take(self, chain: Chain, signal: Signal) -> FlowError | None:
        node = self.layout.nodes[chain.cursor]
        try:
            match signal:
                case Passed(result=result):
                    assert isinstance(node, Step)  # noqa: S101 - see request
                    path = target_path(node.out)
                    line = edit_line(path.keys, result.text, result.mark)
                    chain.write_as(path, result.value, line, result.depth)
                case Failed(text=text):
                    assert isinstance(node, Step)  # noqa: S101 - see request
                    return dispatcher_error(node.ref, text)
                case JoinedValue(value=value, line=line, depth=depth):
                    assert isinstance(node, Fanout)  # noqa: S101 - phase JOIN
                    path = target_path(node.out)
                    chain.write_as(path, value, line(path), depth)
                case Raised(kind=kind, text=text):
                    # The runtime adds kinds (Lost, CtxLimit) to those of the language.
                    return FlowError(cast(FlowErrorKind, kind), text)
                case None:
                    pass
                case _:
                    assert_never(signal)
        except FlowError as error:
            return error
        return None

    def _enter(self, chain: Chain, node: Node) -> bool | StepRequest | Fork:
        """Enter the node at the cursor; return whether the cursor has a new node to enter."""
        doc, number = chain.doc, chain.cursor
        children = self.layout.children[number]
        match node:
            case Step():
                value = self._input(chain, node)
                if self._agents is not None and node.ref not in self._agents:
                    raise dispatcher_error(node.ref, NO_AGENT)
                chain.phase = STEP
                return StepRequest(node.ref, value, place_of(self.layout, chain))
            case Assign() | Delete():
                self._edit(chain, node)
                return False
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
                # Before the frame: after a snapshot the document copies again what it writes.
                frame = Frame(number, 0, chain.offset, doc.snapshot())
                return self._push(chain, frame, children[0])
            case Fanout():
                return self._fork(chain, node, number)
            case _:
                assert_never(node)

    def _edit(self, chain: Chain, node: Assign | Delete) -> None:
        """Carry out a write or a delete; raise _Outgrown if the log is too long then."""
        if isinstance(node, Delete):
            chain.delete(node.at)
        else:
            value = self._evaluate(chain, node.value, CTX)
            chain.write(target_path(node.at), value)
        if chain.offset > self._most_bytes:
            raise _Outgrown(CTX)

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
        subject = "the items of a fanout are"
        items = fanout_items(self._evaluate(chain, node.items, subject))
        require_item(node.join, items)
        if not items:
            chain.write(target_path(node.out), [])
            return False
        # Whether a bind fails depends on the Ctx alone, so it fails for every item. It is
        # tried once, before any lane starts, and fails the whole fanout.
        bind, before = target_path(node.bind), chain.doc.snapshot()
        if is_deeper(items, MAX_DEPTH + 1 - len(bind.keys)):
            raise FlowError(CTX_LIMIT, too_deep(f"cannot bind the items to '{bind}'"))
        chain.doc.write(bind, None)
        chain.doc.restore(before)
        chain.phase = JOIN
        return Fork(node, number, items, place_of(self.layout, chain))

    def _leave(self, chain: Chain) -> bool:
        """Continue after the innermost frame's child; return whether to enter the cursor."""
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

    def _catch(self, chain: Chain, error: FlowError) -> None:
        """Unwind to the innermost try still in its body and enter its catch.

        Raises FlowError when `err_at` cannot be written; the next try gets that error.
        """
        while chain.frames[-1].rollback < 0:
            chain.frames.pop()
        frame = chain.frames[-1]
        node = self.layout.nodes[frame.node]
        assert isinstance(node, Try)  # noqa: S101 - only a try has a rollback point
        chain.roll_back(frame)
        frame.at, frame.rollback, frame.snapshot = 1, -1, None
        chain.cursor = self.layout.children[frame.node][1]
        if node.err_at is not None:
            chain.write(target_path(node.err_at), error_record(node, error))
