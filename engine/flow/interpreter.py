"""The sequential interpreter: runs a program on a document with a dispatch function.

Semantics and order of effects: docs/guides/the-language.md, Nodes and Fanout. At most two
Python frames a nesting level, so 127 nested containers never exhaust the stack.
"""

from collections.abc import Callable
from typing import TypeAlias, assert_never

from engine.flow.allowance import Externs
from engine.flow.document import Document
from engine.flow.errors import FlowError, dispatcher_error
from engine.flow.json_text import Json
from engine.flow.nodes import (
    Assign,
    Branch,
    Delete,
    Fanout,
    Join,
    Loop,
    Node,
    Seq,
    Step,
    Try,
    branch_taken,
    check_loop_end,
    error_record,
    fanout_items,
    fulfilled_record,
    rejected_record,
    require_item,
    target_path,
)
from engine.flow.values import truthy

Dispatch: TypeAlias = Callable[[str, Json], Json]


def evaluate(
    node: Node, ctx: Json, dispatch: Dispatch, externs: Externs | None = None
) -> Json:
    """Run a program on a context and return the final context.

    `dispatch` takes a step's ref and input and returns its value; what it raises
    becomes a DispatcherError. Neither `ctx` nor literals nor dispatched values are
    changed, but the result shares parts with them: do not change it. Raises FlowError.
    """
    document = Document(ctx)
    _Interpreter(dispatch, externs).run(node, document)
    return document.value


class _Interpreter:
    """Runs nodes on documents."""

    __slots__ = ("_dispatch", "_externs")

    def __init__(self, dispatch: Dispatch, externs: Externs | None) -> None:
        self._dispatch = dispatch
        self._externs = externs

    def run(self, node: Node, document: Document) -> None:
        match node:
            case Assign():
                value = document.evaluate(node.value, self._externs)
                document.write(target_path(node.at), value)
            case Delete():
                document.delete(node.at)
            case Step():
                self._step(node, document)
            case Seq():
                for child in node.children:
                    self.run(child, document)
            case Branch():
                cond = document.evaluate(node.cond, self._externs)
                arm = node.then if branch_taken(cond) else node.otherwise
                self.run(arm, document)
            case Loop():
                self._loop(node, document)
            case Fanout():
                self._fanout(node, document)
            case Try():
                self._try(node, document)
            case _:
                assert_never(node)

    def _step(self, node: Step, document: Document) -> None:
        value = document.evaluate(node.input, self._externs)
        try:
            reply = self._dispatch(node.ref, value)
        except Exception as error:
            raise dispatcher_error(node.ref, str(error)) from error
        # The target is checked only after the side effect, as the reference does.
        document.write(target_path(node.out), reply)

    def _loop(self, node: Loop, document: Document) -> None:
        counter = target_path(node.counter)
        # The count lives here: a body that writes the counter changes nothing.
        count = 0
        document.write(counter, count)
        while count < node.max:
            if not truthy(document.evaluate(node.cond, self._externs)):
                return
            self.run(node.body, document)
            count += 1
            document.write(counter, count)
        if node.on_max == "fail":
            check_loop_end(node, document.evaluate(node.cond, self._externs))

    def _try(self, node: Try, document: Document) -> None:
        before = document.snapshot()
        try:
            self.run(node.body, document)
            return
        except FlowError as error:
            record = error_record(node, error)
        document.restore(before)
        if node.err_at is not None:
            document.write(target_path(node.err_at), record)
        self.run(node.catch, document)

    def _fanout(self, node: Fanout, document: Document) -> None:
        items = fanout_items(document.evaluate(node.items, self._externs))
        require_item(node.join, items)
        before = document.snapshot()
        joined: Json = []
        failure: FlowError | None = None
        for item in items:
            lane = Document(before)
            # A failing bind is an error of the whole fanout, so it is not caught.
            lane.write(target_path(node.bind), item)
            try:
                self.run(node.body, lane)
                value = lane.value
                if node.select is not None:
                    value = lane.evaluate(node.select, self._externs)
            except FlowError as error:
                if node.join in (Join.ALL, Join.RACE):
                    raise
                if node.join is Join.ALL_SETTLED:
                    joined.append(rejected_record(str(error)))
                else:
                    # Without its traceback it does not keep this lane in memory.
                    failure = error.with_traceback(None)
                continue
            if node.join in (Join.ANY, Join.RACE):
                joined, failure = value, None
                break
            settled = node.join is Join.ALL_SETTLED
            joined.append(fulfilled_record(value) if settled else value)
        if failure is not None:
            raise failure
        document.write(target_path(node.out), joined)
