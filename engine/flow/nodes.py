"""The nodes: what a program is made of, all seven on one page.

Fields and their JSON spellings: reference-language 1.1. What a node does is written in
the interpreter and, for live runs, in engine/run; the rules both need are below.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from engine.flow.decode import (
    read_array,
    read_choice,
    read_dialect,
    read_integer,
    read_path,
    read_string,
    read_tag,
    require_json,
    suggestion,
)
from engine.flow.errors import (
    FlowError,
    invalid_path,
    loop_limit,
    non_bool_cond,
    parse_error,
    type_error,
)
from engine.flow.expr import Expr, PathExpr
from engine.flow.expr_reader import read_expr
from engine.flow.grammar import NODE_WORDS, Dialect
from engine.flow.json_text import Json, dump_compact
from engine.flow.path import Path


class Join(StrEnum):
    """How a fanout makes one value of its branches."""

    ALL = "all"
    ANY = "any"
    RACE = "race"
    ALL_SETTLED = "all_settled"


@dataclass(frozen=True, slots=True)
class Step:
    """`step`: hands `input` to the dispatcher of `ref`, writes the reply to `out`."""

    ref: str
    input: Expr
    out: Expr

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON."""
        wires = {"in": self.input.to_json(), "out": self.out.to_json()}
        return {"kind": "step", "ref": self.ref, **wires}


@dataclass(frozen=True, slots=True)
class Seq:
    """`seq`: runs its children in order."""

    children: tuple["Node", ...]

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON."""
        return {"kind": "seq", "children": [child.to_json() for child in self.children]}


@dataclass(frozen=True, slots=True)
class Branch:
    """`branch`: runs `then` or `otherwise` (JSON `else`) by a boolean `cond`."""

    cond: Expr
    then: "Node"
    otherwise: "Node"

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON."""
        return {
            "kind": "branch",
            "cond": self.cond.to_json(),
            "then": self.then.to_json(),
            "else": self.otherwise.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Fanout:
    """`fanout`: runs `body` once per item on its own document, joins the documents.

    With `select` (dialect swarm) it joins what that gives of each final document;
    at most `max_parallel` lanes are under way at once.
    """

    items: Expr
    bind: Expr
    body: "Node"
    join: Join
    out: Expr
    select: Expr | None = None
    max_parallel: int | None = None

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON, absent fields of the dialect not at all."""
        own: dict[str, Json] = {}
        if self.select is not None:
            own["select"] = self.select.to_json()
        if self.max_parallel is not None:
            own["max_parallel"] = self.max_parallel
        return {
            "kind": "fanout",
            "items": self.items.to_json(),
            "bind": self.bind.to_json(),
            "body": self.body.to_json(),
            "join": self.join.value,
            "out": self.out.to_json(),
            **own,
        }


@dataclass(frozen=True, slots=True)
class Loop:
    """`loop`: runs `body` while `cond` is truthy, at most `max` times.

    With `on_max` `fail` (dialect swarm) it is an error to want more.
    """

    counter: Expr
    cond: Expr
    body: "Node"
    max: int
    on_max: Literal["continue", "fail"] | None = None

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON, an absent `on_max` not at all."""
        own = {} if self.on_max is None else {"on_max": self.on_max}
        return {
            "kind": "loop",
            "counter": self.counter.to_json(),
            "cond": self.cond.to_json(),
            "body": self.body.to_json(),
            "max": self.max,
            **own,
        }


@dataclass(frozen=True, slots=True)
class Try:
    """`try`: runs `body`; on an error rolls back, notes it at `err_at`, runs `catch`."""

    body: "Node"
    catch: "Node"
    err_at: Expr | None
    err_as: Literal["text", "object"] | None = None

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON; an absent `err_at` as null."""
        own = {} if self.err_as is None else {"err_as": self.err_as}
        return {
            "kind": "try",
            "body": self.body.to_json(),
            "catch": self.catch.to_json(),
            "err_at": None if self.err_at is None else self.err_at.to_json(),
            **own,
        }


@dataclass(frozen=True, slots=True)
class Assign:
    """`assign` (format 0.2, `at` is an expression) or `let` (0.3, a path text)."""

    at: Expr
    value: Expr
    spelling: Literal["assign", "let"] = "assign"

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON in its author's spelling."""
        at: Json = self.at.to_json()
        if self.spelling == "let":
            at = at["at"]
        return {"kind": self.spelling, "at": at, "value": self.value.to_json()}


Node: TypeAlias = Step | Seq | Branch | Fanout | Loop | Try | Assign


def parse_node(value: Json, dialect: Dialect = "flow.ir") -> Node:
    """Reads a program from its JSON value; raises ParseError."""
    require_json(value)
    return read_node(value, "$", read_dialect(dialect))


def read_node(value: Json, place: str, dialect: Dialect) -> Node:
    """Reads a node that stands at `place` of a program already known as JSON."""
    kind = read_tag(value, place, NODE_WORDS[dialect])

    def expr(field: str) -> Expr:
        return read_expr(value[field], f"{place}.{field}", dialect)

    def node(field: str) -> Node:
        return read_node(value[field], f"{place}.{field}", dialect)

    match kind:
        case "step":
            ref = read_string(value["ref"], f"{place}.ref")
            return Step(ref, expr("in"), expr("out"))
        case "seq":
            rows = read_array(value["children"], f"{place}.children")
            nodes = [
                read_node(row, f"{place}.children[{n}]", dialect)
                for n, row in enumerate(rows)
            ]
            return Seq(tuple(nodes))
        case "branch":
            return Branch(expr("cond"), node("then"), node("else"))
        case "fanout":
            most = value.get("max_parallel")
            return Fanout(
                items=expr("items"),
                bind=expr("bind"),
                body=node("body"),
                join=_read_join(value["join"], f"{place}.join"),
                out=expr("out"),
                select=expr("select") if "select" in value else None,
                max_parallel=read_integer(most, f"{place}.max_parallel", 1)
                if "max_parallel" in value
                else None,
            )
        case "loop":
            return Loop(
                counter=expr("counter"),
                cond=expr("cond"),
                body=node("body"),
                max=read_integer(value["max"], f"{place}.max"),
                on_max=_read_on_max(value, place),
            )
        case "try":
            body, catch = node("body"), node("catch")
            err_at = None if value.get("err_at") is None else expr("err_at")
            return Try(body, catch, err_at, _read_err_as(value, place))
        case "let":
            path = PathExpr(read_path(value["at"], f"{place}.at", dialect))
            return Assign(path, expr("value"), "let")
        case _:
            return Assign(expr("at"), expr("value"))


def target_path(expr: Expr) -> Path:
    """Returns the path that a node writes to; raises InvalidPath for other exprs."""
    if isinstance(expr, PathExpr):
        return expr.at
    raise invalid_path("expected Path expr for write target")


def branch_taken(cond: Json) -> bool:
    """Returns the value of a branch's condition; raises NonBoolCond."""
    if isinstance(cond, bool):
        return cond
    raise non_bool_cond(cond)


def fanout_items(value: Json) -> list[Json]:
    """Returns the items of a fanout; raises TypeError of 'fanout.items'."""
    if isinstance(value, list):
        return value
    raise type_error("fanout.items", f"expected array, got {dump_compact(value)}")


def require_item(join: Join, items: list[Json]) -> None:
    """Raises TypeError of 'fanout.any' or 'fanout.race' where there is no item."""
    if not items and join in (Join.ANY, Join.RACE):
        raise type_error(f"fanout.{join}", "requires at least one item")


def fulfilled_record(value: Json) -> dict[str, Json]:
    """Returns what `all_settled` collects of a branch that ended with a document."""
    return {"status": "fulfilled", "value": value}


def rejected_record(reason: str) -> dict[str, Json]:
    """Returns what `all_settled` collects of a branch that failed with a text."""
    return {"status": "rejected", "reason": reason}


def error_record(node: Try, error: FlowError) -> Json:
    """Returns what a try notes of an error: its text, or an object with its kind."""
    if node.err_as == "object":
        return {"kind": error.kind, "text": str(error)}
    return str(error)


def check_loop_end(node: Loop, cond: Json) -> None:
    """Raises LoopLimit if a loop that is at its `max` would go on, as `cond` says."""
    if cond is not None and cond is not False:
        raise loop_limit(node.max)


def _read_join(value: Json, place: str) -> Join:
    text = read_string(value, place)
    if text not in Join.__members__.values():
        raise parse_error(place, f"unknown join {text!r}{suggestion(text, Join)}")
    return Join(text)


def _read_on_max(value: Json, place: str) -> Literal["continue", "fail"] | None:
    if "on_max" not in value:
        return None
    words = ("continue", "fail")
    found = read_choice(value["on_max"], f"{place}.on_max", words)
    return "fail" if found == "fail" else "continue"


def _read_err_as(value: Json, place: str) -> Literal["text", "object"] | None:
    if "err_as" not in value:
        return None
    if value.get("err_at") is None:
        raise parse_error(f"{place}.err_as", "'err_as' needs 'err_at' beside it")
    words = ("text", "object")
    found = read_choice(value["err_as"], f"{place}.err_as", words)
    return "object" if found == "object" else "text"
