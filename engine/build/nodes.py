"""Nodes by functions; each keeps the file and the line of the call that made it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.agent_names import Agent, agent_name
from engine.build.expressions import Value, target, unwrapped
from engine.flow.json_text import Json
from engine.flow.nodes import Join
from engine.flow.spelling import did_you_mean

JoinName: TypeAlias = Literal["all", "any", "race", "all_settled"]
Keys: TypeAlias = tuple[str | int, ...]
"""A place in a document: keys of objects and numbers of items."""

_HERE: Final = f"{__package__}."


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A part of a flow; `file` and `line` are those of the call that made it."""

    kind: str
    fields: Mapping[str, Json]
    nodes: Mapping[str, Node | tuple[Node, ...]]
    agent: Agent | None
    file: str
    line: int

    def written(self) -> Json:
        """Return the node as JSON of the dialect `swarm`."""
        inner = {
            name: [one.written() for one in part]
            if isinstance(part, tuple)
            else part.written()
            for name, part in self.nodes.items()
        }
        return {"kind": self.kind, **self.fields, **inner}

    def walk(self, keys: Keys = ()) -> Iterator[tuple[Keys, Node]]:
        """Yield this node and those inside it, with their keys in `written`."""
        yield keys, self
        for name, part in self.nodes.items():
            if isinstance(part, Node):
                yield from part.walk((*keys, name))
                continue
            for number, one in enumerate(part):
                yield from one.walk((*keys, name, number))


def step(agent: Agent, value: Value, *, out: Value, name: str | None = None) -> Node:
    """Return a step: hand `value` to an agent, write the reply to the path `out`.

    The agent is a function of a module, or the name of one of the Blueprint's `agents`.
    """
    fields = {
        "agent": agent_name(agent),
        "in": _expr(value, "step: its input"),
        "out": _path(out, "step: out"),
        **({} if name is None else {"name": name}),
    }
    return _node("step", fields, {}, agent)


def seq(*children: Node) -> Node:
    """Return the nodes, run in order."""
    return _node("seq", {}, {"children": children})


def branch(cond: Value, *, then: Node, else_: Node | None = None) -> Node:
    """Return `then` or `else_` by a boolean condition; without `else_`, nothing runs."""
    other = _node("seq", {}, {"children": ()}) if else_ is None else else_
    fields = {"cond": _expr(cond, "branch: cond")}
    return _node("branch", fields, {"then": then, "else": other})


def fanout(
    items: Value,
    *,
    bind: Value,
    body: Node,
    out: Value,
    join: JoinName = "all",
    select: Value = None,
    max_parallel: int | None = None,
) -> Node:
    """Return `body`, run once per item on its own Ctx with the item at the path `bind`.

    `select` is what the join takes of each lane, and `ctx` is the lane's whole Ctx; at
    most `max_parallel` lanes run at once.
    """
    fields = {
        "items": _expr(items, "fanout: items"),
        "bind": _path(bind, "fanout: bind"),
        "join": _join(join),
        "out": _path(out, "fanout: out"),
        **({} if select is None else {"select": _expr(select, "fanout: select")}),
        **({} if max_parallel is None else {"max_parallel": max_parallel}),
    }
    return _node("fanout", fields, {"body": body})


def loop(
    cond: Value,
    *,
    max: int,
    counter: Value,
    body: Node,
    on_max: Literal["continue", "fail"] | None = None,
) -> Node:
    """Return `body`, run while `cond` is truthy, at most `max` times.

    The path `counter` has the count.
    """
    fields = {
        "cond": _expr(cond, "loop: cond"),
        "max": max,
        "counter": _path(counter, "loop: counter"),
        **({} if on_max is None else {"on_max": on_max}),
    }
    return _node("loop", fields, {"body": body})


def try_(
    body: Node,
    *,
    catch: Node,
    err_at: Value = None,
    err_as: Literal["text", "object"] | None = None,
) -> Node:
    """Return `body`; on an error its writes are taken back and `catch` runs.

    The error is written to the path `err_at`, if there is one.
    """
    fields = {
        **({} if err_at is None else {"err_at": _path(err_at, "try_: err_at")}),
        **({} if err_as is None else {"err_as": err_as}),
    }
    return _node("try", fields, {"body": body, "catch": catch})


def let(at: Value, value: Value) -> Node:
    """Return a write of a value at the path `at`."""
    fields = {"at": str(target(at, "let: at")), "value": _expr(value, "let: value")}
    return _node("let", fields, {})


def delete(at: Value) -> Node:
    """Return the removal of what is at a path; nothing to remove is no error."""
    return _node("delete", {"at": str(target(at, "delete"))}, {})


def _expr(value: Value, what: str) -> Json:
    return unwrapped(value, what).to_json()


def _path(value: Value, what: str) -> Json:
    return {"op": "path", "at": str(target(value, what))}


def _join(name: str) -> str:
    if name not in list(Join):
        hint = did_you_mean(str(name), list(Join))
        raise ValueError(f"fanout: join: {name!r} is no join; {hint}")
    return name


def _require_node(value: object, what: str) -> None:
    if not isinstance(value, Node):
        raise TypeError(f"{what}: expected a node such as step(…), got {value!r}")


def _node(
    kind: str,
    fields: Mapping[str, Json],
    nodes: Mapping[str, Node | tuple[Node, ...]],
    agent: Agent | None = None,
) -> Node:
    for name, part in nodes.items():
        for one in part if isinstance(part, tuple) else (part,):
            _require_node(one, f"{kind}: {name}")
    file, line = caller()
    return Node(kind, fields, nodes, agent, file, line)


def caller() -> tuple[str, int]:
    """Return the file and the line that called a function of the builder."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_HERE):
        frame = frame.f_back
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
