"""The expected end of a run, given the lanes that were first by its journal.

A second interpreter, by value and place by place. Without decisions it takes lanes in
order and must agree with `engine.flow.evaluate`; with those of a run it checks that
each of them was allowed, and says what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.flow import FlowError, evaluate_expr
from engine.flow.errors import dispatcher_error
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
from engine.flow.path import Path
from engine.flow.values import truthy

ALL = -1


def without(ctx: Any, keys: Sequence[Any]) -> Any:
    """Return a copy of a value without what is at a path, if anything is."""
    key, *rest = keys
    if isinstance(ctx, dict) and key in ctx:
        kept = {name: value for name, value in ctx.items() if name != key or rest}
        return kept | {key: without(ctx[key], rest)} if rest else kept
    if isinstance(ctx, list) and isinstance(key, int) and -len(ctx) <= key < len(ctx):
        at = key % len(ctx)
        between = [without(ctx[at], rest)] if rest else []
        return [*ctx[:at], *between, *ctx[at + 1 :]]
    return ctx


class Unfitting(Exception):
    """An edit does not fit at a place: the Ctx has no room, or the step has no input."""


class Oracle:
    """Runs a flow; `steps` are the places of the steps whose outcome counts."""

    def __init__(
        self,
        dispatch: Callable[[str, Any], Any],
        decided: Mapping[str, int] | None = None,
        edits: Mapping[str, tuple[Path, Any]] | None = None,
    ) -> None:
        """Bind a dispatcher, what was decided, and the edits before steps, by place."""
        self.steps: list[str] = []
        self._edits = edits or {}
        self._dispatch = dispatch
        self._decided = decided

    def run(self, node: Node, ctx: Any, place: str = "") -> Any:
        """Return the Ctx after a node; raises FlowError."""
        match node:
            case Assign() | Delete():
                return self._edit(node, ctx)
            case Step():
                return self._step(node, ctx, place)
            case Seq():
                for number, child in enumerate(node.children):
                    ctx = self.run(child, ctx, f"{place}/children/{number}")
                return ctx
            case Branch():
                if branch_taken(evaluate_expr(node.cond, ctx)):
                    return self.run(node.then, ctx, place + "/then")
                return self.run(node.otherwise, ctx, place + "/else")
            case Loop():
                return self._loop(node, ctx, place)
            case Try():
                return self._try(node, ctx, place)
            case Fanout():
                return self._fanout(node, ctx, place)

    def _edit(self, node: Assign | Delete, ctx: Any) -> Any:
        if isinstance(node, Delete):
            return without(ctx, node.at.keys)
        return target_path(node.at).write(ctx, evaluate_expr(node.value, ctx))

    def _step(self, node: Step, ctx: Any, place: str) -> Any:
        if place in self._edits:
            path, edit = self._edits[place]
            try:
                ctx = path.write(ctx, edit)
                evaluate_expr(node.input, ctx)
            except FlowError as error:
                raise Unfitting(place) from error
        value = evaluate_expr(node.input, ctx)
        self.steps.append(place)
        try:
            reply = self._dispatch(node.ref, value)
        except Exception as error:
            raise dispatcher_error(node.ref, str(error)) from error
        return target_path(node.out).write(ctx, reply)

    def _loop(self, node: Loop, ctx: Any, place: str) -> Any:
        counter, count = target_path(node.counter), 0
        ctx = counter.write(ctx, 0)
        while count < node.max and truthy(evaluate_expr(node.cond, ctx)):
            ctx = self.run(node.body, ctx, f"{place}/body[{count}]")
            count += 1
            ctx = counter.write(ctx, count)
        if node.on_max == "fail" and count == node.max:
            check_loop_end(node, evaluate_expr(node.cond, ctx))
        return ctx

    def _try(self, node: Try, ctx: Any, place: str) -> Any:
        try:
            return self.run(node.body, ctx, place + "/body")
        except FlowError as error:
            record = error_record(node, error)
        if node.err_at is not None:
            ctx = target_path(node.err_at).write(ctx, record)
        return self.run(node.catch, ctx, place + "/catch")

    def _fanout(self, node: Fanout, ctx: Any, place: str) -> Any:
        items = fanout_items(evaluate_expr(node.items, ctx))
        require_item(node.join, items)
        bind = target_path(node.bind) if items else None
        starts = [bind.write(ctx, item) for item in items if bind is not None]
        out = target_path
        if not items:
            return out(node.out).write(ctx, [])
        lanes = [
            lambda n=n, start=start: self._lane(node, start, f"{place}/lane[{n}]")
            for n, start in enumerate(starts)
        ]
        if self._decided is None:
            value = self._in_order(node.join, lanes)
        else:
            assert place in self._decided, f"{place} was never joined"
            value = self._as_decided(node.join, lanes, self._decided[place], place)
        return out(node.out).write(ctx, value)

    def _lane(self, node: Fanout, start: Any, place: str) -> Any:
        try:
            end = self.run(node.body, start, place)
            return end if node.select is None else evaluate_expr(node.select, end)
        except FlowError as error:
            return error

    def _in_order(self, join: Join, lanes: list[Callable[[], Any]]) -> Any:
        ended: list[Any] = []
        for lane in lanes:
            ended.append(lane())
            failed = isinstance(ended[-1], FlowError)
            if failed and join in (Join.ALL, Join.RACE):
                raise ended[-1]
            if not failed and join in (Join.ANY, Join.RACE):
                return ended[-1]
        return self._joined(join, ended)

    def _as_decided(
        self, join: Join, lanes: list[Callable[[], Any]], lane: int, place: str
    ) -> Any:
        if lane == ALL:
            assert join in (Join.ALL, Join.ALL_SETTLED), place
            ended = [run() for run in lanes]
            failed = any(isinstance(end, FlowError) for end in ended)
            assert join is Join.ALL_SETTLED or not failed, f"{place}: a lane failed"
            return self._joined(join, ended)
        end = lanes[lane]()
        assert join is not Join.ALL_SETTLED, place
        if not isinstance(end, FlowError):
            assert join is not Join.ALL, f"{place}: lane {lane} passed and decided"
            return end
        if join is Join.ANY:
            others = [run() for n, run in enumerate(lanes) if n != lane]
            text = f"{place}: a lane passed, none was taken"
            assert all(isinstance(end, FlowError) for end in others), text
        raise end

    def _joined(self, join: Join, ended: list[Any]) -> Any:
        match join:
            case Join.ALL_SETTLED:
                return [
                    rejected_record(str(end))
                    if isinstance(end, FlowError)
                    else fulfilled_record(end)
                    for end in ended
                ]
            case Join.ANY:
                raise ended[-1]
            case _:
                return ended
