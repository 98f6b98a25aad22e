"""What a run must come to, given which lanes its journal says were first.

A second interpreter, by value and place by place. Without decisions it takes lanes in
order and must agree with `engine.flow.evaluate`; with those of a run it checks that
each of them was allowed, and says what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.flow import FlowError
from engine.flow.errors import dispatcher_error
from engine.flow.nodes import (
    Assign,
    Branch,
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

ALL = -1


class Oracle:
    """Runs a flow; `steps` are the places of the steps whose outcome counts."""

    def __init__(
        self,
        dispatch: Callable[[str, Any], Any],
        decided: Mapping[str, int] | None = None,
    ) -> None:
        """Bind a dispatcher and what was decided, by a fanout's place."""
        self.steps: list[str] = []
        self._dispatch = dispatch
        self._decided = decided

    def run(self, node: Node, ctx: Any, place: str = "") -> Any:
        """Return the Ctx after a node; raises FlowError."""
        match node:
            case Assign():
                value = node.value.evaluate(ctx, None)
                return target_path(node.at).write(ctx, value)
            case Step():
                return self._step(node, ctx, place)
            case Seq():
                for number, child in enumerate(node.children):
                    ctx = self.run(child, ctx, f"{place}/children/{number}")
                return ctx
            case Branch():
                if branch_taken(node.cond.evaluate(ctx, None)):
                    return self.run(node.then, ctx, place + "/then")
                return self.run(node.otherwise, ctx, place + "/else")
            case Loop():
                return self._loop(node, ctx, place)
            case Try():
                return self._try(node, ctx, place)
            case Fanout():
                return self._fanout(node, ctx, place)

    def _step(self, node: Step, ctx: Any, place: str) -> Any:
        value = node.input.evaluate(ctx, None)
        self.steps.append(place)
        try:
            reply = self._dispatch(node.ref, value)
        except Exception as error:
            raise dispatcher_error(node.ref, str(error)) from error
        return target_path(node.out).write(ctx, reply)

    def _loop(self, node: Loop, ctx: Any, place: str) -> Any:
        counter, count = target_path(node.counter), 0
        ctx = counter.write(ctx, 0)
        while count < node.max and truthy(node.cond.evaluate(ctx, None)):
            ctx = self.run(node.body, ctx, f"{place}/body[{count}]")
            count += 1
            ctx = counter.write(ctx, count)
        if node.on_max == "fail" and count == node.max:
            check_loop_end(node, node.cond.evaluate(ctx, None))
        return ctx

    def _try(self, node: Try, ctx: Any, place: str) -> Any:
        try:
            return self.run(node.body, ctx, place + "/body")
        except FlowError as error:
            told = error_record(node, error)
        if node.err_at is not None:
            ctx = target_path(node.err_at).write(ctx, told)
        return self.run(node.catch, ctx, place + "/catch")

    def _fanout(self, node: Fanout, ctx: Any, place: str) -> Any:
        items = fanout_items(node.items.evaluate(ctx, None))
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
            return end if node.select is None else node.select.evaluate(end, None)
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
            told = f"{place}: a lane passed, none was taken"
            assert all(isinstance(end, FlowError) for end in others), told
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
