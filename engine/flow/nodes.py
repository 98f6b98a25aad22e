"""The eight nodes that programs consist of.

The guide docs/guides/the-language.md describes their fields. The interpreter and, for
live runs, engine/run carry the nodes out; the rules that both need are below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Literal, TypeAlias

from engine.flow.errors import (
    FlowError,
    invalid_path,
    loop_limit,
    non_bool_cond,
    type_error,
)
from engine.flow.expr import Expr, PathExpr
from engine.flow.json_text import Json, dump_shown
from engine.flow.offloaded import looked_into
from engine.flow.part import Part
from engine.flow.path import Path


class Join(StrEnum):
    """How a fanout makes one value of its lanes."""

    ALL = "all"
    ANY = "any"
    RACE = "race"
    ALL_SETTLED = "all_settled"


class _Node(Part):
    __slots__ = ()
    TAG = "kind"


@dataclass(frozen=True, slots=True)
class Step(_Node):
    """`step`: hands `input` to the dispatcher of `ref`, writes the reply to `out`.

    Views and errors show its `name` (dialect swarm) instead of its place.
    """

    kind: ClassVar = "step"
    ref: str
    input: Expr
    out: Expr
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Seq(_Node):
    """`seq`: runs its children in order."""

    kind: ClassVar = "seq"
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Branch(_Node):
    """`branch`: runs `then` or `otherwise` (JSON `else`) by a boolean `cond`."""

    kind: ClassVar = "branch"
    cond: Expr
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class Fanout(_Node):
    """`fanout`: runs `body` once per item on its own document, joins the documents.

    With `select` (dialect swarm) it joins the values of that expression instead; at
    most `max_parallel` lanes run at once.
    """

    kind: ClassVar = "fanout"
    items: Expr
    bind: Expr
    body: "Node"
    join: Join
    out: Expr
    select: Expr | None = None
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Loop(_Node):
    """`loop`: runs `body` while `cond` is truthy, at most `max` times.

    With `on_max` `fail` (dialect swarm) a `cond` that still holds then is an error.
    """

    kind: ClassVar = "loop"
    counter: Expr
    cond: Expr
    body: "Node"
    max: int
    on_max: Literal["continue", "fail"] | None = None


@dataclass(frozen=True, slots=True)
class Try(_Node):
    """`try`: runs `body`; on an error rolls back, writes it to `err_at`, runs `catch`."""

    kind: ClassVar = "try"
    body: "Node"
    catch: "Node"
    err_at: Expr | None
    err_as: Literal["text", "object"] | None = None


@dataclass(frozen=True, slots=True)
class Assign(_Node):
    """`assign` (format 0.2, `at` is an expression) or `let` (0.3, a path text)."""

    at: Expr
    value: Expr
    kind: Literal["assign", "let"] = "assign"


@dataclass(frozen=True, slots=True)
class Delete(_Node):
    """`delete` (dialect swarm): removes what is at a path, where there is anything."""

    kind: ClassVar = "delete"
    at: Path


Node: TypeAlias = Step | Seq | Branch | Fanout | Loop | Try | Assign | Delete


def _let(at: Path, value: Expr) -> Assign:
    return Assign(PathExpr(at), value, "let")


NODE_MAKERS: Final[Mapping[str, Callable[..., Node]]] = {
    **{part.kind: part for part in (Step, Seq, Branch, Fanout, Loop, Try, Delete)},
    "assign": Assign,
    "let": _let,
}
"""The makers of nodes by kind; their arguments are the fields of the kind."""


def target_path(expr: Expr) -> Path:
    """Return the path that a node writes to; raises InvalidPath without one."""
    if isinstance(expr, PathExpr):
        return expr.at
    raise invalid_path("expected Path expr for write target")


def branch_taken(cond: Json) -> bool:
    """Return the value of a branch's condition; raises NonBoolCond."""
    if isinstance(cond, bool):
        return cond
    raise non_bool_cond(cond)


def fanout_items(value: Json) -> list[Json]:
    """Return the items of a fanout; raises TypeError of 'fanout.items'."""
    value = looked_into(value)
    if isinstance(value, list):
        return value
    raise type_error("fanout.items", f"expected array, got {dump_shown(value)}")


def require_item(join: Join, items: list[Json]) -> None:
    """Raise TypeError of 'fanout.any' or 'fanout.race' where there is no item."""
    if not items and join in (Join.ANY, Join.RACE):
        raise type_error(f"fanout.{join}", "requires at least one item")


def fulfilled_record(value: Json) -> dict[str, Json]:
    """Return what `all_settled` collects of a lane that ended with a value."""
    return {"status": "fulfilled", "value": value}


def rejected_record(reason: str) -> dict[str, Json]:
    """Return what `all_settled` collects of a lane that failed with a text."""
    return {"status": "rejected", "reason": reason}


def error_record(node: Try, error: FlowError) -> Json:
    """Return what a try writes to `err_at`: the text, or an object with the kind."""
    if node.err_as == "object":
        return {"kind": error.kind, "text": str(error)}
    return str(error)


def check_loop_end(node: Loop, cond: Json) -> None:
    """Raise LoopLimit if `cond` still holds after `max` iterations of a loop."""
    if cond is not None and cond is not False:
        raise loop_limit(node.max)
