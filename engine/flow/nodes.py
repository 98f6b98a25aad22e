"""The nodes: what a program is made of, all seven on one page.

Fields and their JSON spellings: reference-language 1.1. What a node does is written in
the interpreter and, for live runs, in engine/run; the rules both need are below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from engine.flow.decode import (
    read_array,
    read_path,
    read_string,
    read_tag,
    require_json,
    suggestion,
)
from engine.flow.errors import invalid_path, non_bool_cond, parse_error, type_error
from engine.flow.expr import Expr, PathExpr, read_expr
from engine.flow.json_text import Json, dump_compact
from engine.flow.path import Path

_LARGEST_MAX = 2**32 - 1


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
    """`fanout`: runs `body` once per item on its own document, joins the documents."""

    items: Expr
    bind: Expr
    body: "Node"
    join: Join
    out: Expr

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON."""
        return {
            "kind": "fanout",
            "items": self.items.to_json(),
            "bind": self.bind.to_json(),
            "body": self.body.to_json(),
            "join": self.join.value,
            "out": self.out.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Loop:
    """`loop`: runs `body` while `cond` is truthy, at most `max` times."""

    counter: Expr
    cond: Expr
    body: "Node"
    max: int

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON."""
        return {
            "kind": "loop",
            "counter": self.counter.to_json(),
            "cond": self.cond.to_json(),
            "body": self.body.to_json(),
            "max": self.max,
        }


@dataclass(frozen=True, slots=True)
class Try:
    """`try`: runs `body`; on an error rolls back, notes it at `err_at`, runs `catch`."""

    body: "Node"
    catch: "Node"
    err_at: Expr | None

    def to_json(self) -> dict[str, Json]:
        """Writes the node back as JSON; an absent `err_at` as null."""
        return {
            "kind": "try",
            "body": self.body.to_json(),
            "catch": self.catch.to_json(),
            "err_at": None if self.err_at is None else self.err_at.to_json(),
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

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "step": ("ref", "in", "out"),
    "seq": ("children",),
    "branch": ("cond", "then", "else"),
    "fanout": ("items", "bind", "body", "join", "out"),
    "loop": ("counter", "cond", "body", "max"),
    "try": ("body", "catch", "err_at"),
    "assign": ("at", "value"),
    "let": ("at", "value"),
}
_OPTIONAL = frozenset({"err_at"})


def parse_node(value: Json) -> Node:
    """Reads a program from its JSON value; raises ParseError."""
    require_json(value)
    return read_node(value, "$")


def read_node(value: Json, place: str) -> Node:
    """Reads a node that stands at `place` of a program already known as JSON."""
    kind = read_tag(value, place, "kind", _FIELDS, _OPTIONAL)
    match kind:
        case "step":
            ref = read_string(value["ref"], f"{place}.ref")
            wires = [read_expr(value[key], f"{place}.{key}") for key in ("in", "out")]
            return Step(ref, *wires)
        case "seq":
            rows = read_array(value["children"], f"{place}.children")
            nodes = [
                read_node(row, f"{place}.children[{n}]") for n, row in enumerate(rows)
            ]
            return Seq(tuple(nodes))
        case "branch":
            cond = read_expr(value["cond"], f"{place}.cond")
            then = read_node(value["then"], f"{place}.then")
            return Branch(cond, then, read_node(value["else"], f"{place}.else"))
        case "fanout":
            return Fanout(
                items=read_expr(value["items"], f"{place}.items"),
                bind=read_expr(value["bind"], f"{place}.bind"),
                body=read_node(value["body"], f"{place}.body"),
                join=_read_join(value["join"], f"{place}.join"),
                out=read_expr(value["out"], f"{place}.out"),
            )
        case "loop":
            return Loop(
                counter=read_expr(value["counter"], f"{place}.counter"),
                cond=read_expr(value["cond"], f"{place}.cond"),
                body=read_node(value["body"], f"{place}.body"),
                max=_read_max(value["max"], f"{place}.max"),
            )
        case "try":
            err_at = value.get("err_at")
            return Try(
                body=read_node(value["body"], f"{place}.body"),
                catch=read_node(value["catch"], f"{place}.catch"),
                err_at=None if err_at is None else read_expr(err_at, f"{place}.err_at"),
            )
        case "let":
            path = PathExpr(read_path(value["at"], f"{place}.at"))
            return Assign(path, read_expr(value["value"], f"{place}.value"), "let")
        case _:
            at = read_expr(value["at"], f"{place}.at")
            return Assign(at, read_expr(value["value"], f"{place}.value"))


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


def _read_join(value: Json, place: str) -> Join:
    text = read_string(value, place)
    if text not in Join.__members__.values():
        raise parse_error(place, f"unknown join {text!r}{suggestion(text, Join)}")
    return Join(text)


def _read_max(value: Json, place: str) -> int:
    # `type` and not isinstance: true is an int to Python.
    if type(value) is not int or not 0 <= value <= _LARGEST_MAX:
        got = dump_compact(value)
        raise parse_error(place, f"expected an integer 0 to {_LARGEST_MAX}, got {got}")
    return value
