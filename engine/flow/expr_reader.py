"""Reads expressions from their JSON spelling."""

from collections.abc import Mapping

from engine.flow.decode import (
    read_array,
    read_dialect,
    read_path,
    read_string,
    read_tag,
    require_json,
)
from engine.flow.expr import (
    And,
    Arith,
    CallExtern,
    Default,
    Equality,
    Exists,
    Expr,
    Filter,
    In,
    Len,
    Lit,
    Map,
    Not,
    Or,
    Ordering,
    PathExpr,
    Quantifier,
)
from engine.flow.grammar import OP_WORDS, Dialect
from engine.flow.json_text import Json


def parse_expr(value: Json, dialect: Dialect = "flow.ir") -> Expr:
    """Reads an expression from its JSON value; raises ParseError."""
    require_json(value)
    return read_expr(value, "$", read_dialect(dialect))


def read_expr(value: Json, place: str, dialect: Dialect) -> Expr:
    """Reads an expression that stands at `place` of a program already known as JSON."""
    if dialect == "flow.ir" and place != "$" and _is_numbered_literal(value):
        return Lit(value[1])
    op = read_tag(value, place, OP_WORDS[dialect])

    def part(field: str) -> Expr:
        return read_expr(value[field], f"{place}.{field}", dialect)

    match op:
        case "path":
            return PathExpr(read_path(value["at"], f"{place}.at", dialect))
        case "lit":
            return Lit(value["value"])
        case "and" | "or":
            return _VARIADIC[op](_read_args(value, place, dialect))
        case "call_extern":
            ref = read_string(value["ref"], f"{place}.ref")
            return CallExtern(ref, _read_args(value, place, dialect))
        case "in":
            return In(part("needle"), part("haystack"))
        case "not" | "exists" | "len":
            return _UNARY[op](part("arg"))
        case _ if op in _BINARY:
            return _BINARY[op](op, part("lhs"), part("rhs"))
        case _:
            return _read_swarm(op, value, place, dialect)


def _read_swarm(op: str, value: Json, place: str, dialect: Dialect) -> Expr:
    if op == "default":
        arg = read_expr(value["arg"], f"{place}.arg", dialect)
        return Default(arg, read_expr(value["fallback"], f"{place}.fallback", dialect))
    items = read_expr(value["in"], f"{place}.in", dialect)
    bind = read_path(value["as"], f"{place}.as", dialect)
    field = "value" if op == "map" else "cond"
    inner = read_expr(value[field], f"{place}.{field}", dialect)
    match op:
        case "map":
            return Map(items, bind, inner)
        case "filter":
            return Filter(items, bind, inner)
        case "any":
            return Quantifier("any", items, bind, inner)
        case _:
            return Quantifier("all", items, bind, inner)


def _read_args(value: Json, place: str, dialect: Dialect) -> tuple[Expr, ...]:
    args = read_array(value["args"], f"{place}.args")
    return tuple(
        [read_expr(a, f"{place}.args[{n}]", dialect) for n, a in enumerate(args)]
    )


def _is_numbered_literal(value: Json) -> bool:
    """Tells `[1, value]`, the reference's other spelling of a literal inside a program.

    Conformance case edge-parse-node-156 asks for it. A Blueprint that says it means an
    array, so the Blueprint compiler refuses it; the dialect swarm does not have it.
    """
    return (
        type(value) is list
        and len(value) == 2
        and type(value[0]) is int
        and value[0] == 1
    )


_VARIADIC: Mapping[str, type[And | Or]] = {"and": And, "or": Or}
_UNARY: Mapping[str, type[Not | Exists | Len]] = {
    "not": Not,
    "exists": Exists,
    "len": Len,
}
_BINARY: Mapping[str, type[Arith | Equality | Ordering]] = {
    **dict.fromkeys(("eq", "ne"), Equality),
    **dict.fromkeys(("lt", "lte", "gt", "gte"), Ordering),
    **dict.fromkeys(("add", "sub", "mul", "div", "mod"), Arith),
}
