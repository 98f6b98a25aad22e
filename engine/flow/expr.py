"""The expressions: pure functions of the document, all on one page.

Semantics: language-semantics, Numbers to Paths. Each class evaluates itself, one
Python frame a level, which is the fastest form of a closed set; every evaluation goes
left to right and checks types only after all operands have values.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from engine.flow.errors import (
    FlowError,
    arith_error,
    extern_error,
    type_error,
)
from engine.flow.json_text import Json, dump_compact
from engine.flow.path import Path
from engine.flow.values import (
    ARITHMETIC,
    ORDERINGS,
    as_double,
    is_number,
    json_equal,
    operand,
    truthy,
)

Extern: TypeAlias = Callable[[list[Json]], Json]

MOST_ELEMENTS: Final = 1_000_000
"""Elements that one expression may look at, all its loops over arrays together."""


class Externs(Protocol):
    """What an expression needs of the registry of extern functions."""

    def __contains__(self, ref: object, /) -> bool: ...

    def __getitem__(self, ref: str, /) -> Extern: ...


@dataclass(frozen=True, slots=True)
class PathExpr:
    """`path`: the value at a path of the document."""

    at: Path

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns the value, shared with the document; raises PathNotFound."""
        return self.at.read(ctx)

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "path", "at": str(self.at)}


@dataclass(frozen=True, slots=True)
class Lit:
    """`lit`: a value written in the program."""

    value: Json

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns the value, shared with the program."""
        return self.value

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "lit", "value": self.value}


@dataclass(frozen=True, slots=True)
class Arith:
    """`add`, `sub`, `mul`, `div`, `mod`: always a float."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> float:
        """Returns a finite float; raises TypeError of the op, ArithError."""
        lhs = self.lhs.evaluate(ctx, externs)
        rhs = self.rhs.evaluate(ctx, externs)
        if type(lhs) is not float:
            lhs = operand(self.op, lhs)
        if type(rhs) is not float:
            rhs = operand(self.op, rhs)
        result = ARITHMETIC[self.op](lhs, rhs)
        if result - result != 0.0:
            shown = "NaN" if math.isnan(result) else str(result)
            raise arith_error(self.op, f"result not f64-representable: {shown}")
        return result

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": self.op, "lhs": self.lhs.to_json(), "rhs": self.rhs.to_json()}


@dataclass(frozen=True, slots=True)
class Equality:
    """`eq`, `ne`: deep, with numbers as doubles at every depth."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean."""
        lhs = self.lhs.evaluate(ctx, externs)
        rhs = self.rhs.evaluate(ctx, externs)
        return json_equal(lhs, rhs) is (self.op == "eq")

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": self.op, "lhs": self.lhs.to_json(), "rhs": self.rhs.to_json()}


@dataclass(frozen=True, slots=True)
class Ordering:
    """`lt`, `lte`, `gt`, `gte`: two numbers or two strings."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean; raises TypeError of 'cmp'."""
        lhs = self.lhs.evaluate(ctx, externs)
        rhs = self.rhs.evaluate(ctx, externs)
        if is_number(lhs) and is_number(rhs):
            return ORDERINGS[self.op](as_double(lhs), as_double(rhs))
        if isinstance(lhs, str) and isinstance(rhs, str):
            return ORDERINGS[self.op](lhs, rhs)
        got = f"{dump_compact(lhs)} vs {dump_compact(rhs)}"
        why = f"cmp: both sides must be numbers or strings, got {got}"
        raise type_error("cmp", why)

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": self.op, "lhs": self.lhs.to_json(), "rhs": self.rhs.to_json()}


@dataclass(frozen=True, slots=True)
class And:
    """`and`: true unless an argument is falsy; later ones are not evaluated."""

    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean, never the operand."""
        for arg in self.args:  # noqa: SIM110 - all() would cost two frames a level
            if not truthy(arg.evaluate(ctx, externs)):
                return False
        return True

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "and", "args": [arg.to_json() for arg in self.args]}


@dataclass(frozen=True, slots=True)
class Or:
    """`or`: false unless an argument is truthy; later ones are not evaluated."""

    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean, never the operand."""
        for arg in self.args:  # noqa: SIM110 - any() would cost two frames a level
            if truthy(arg.evaluate(ctx, externs)):
                return True
        return False

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "or", "args": [arg.to_json() for arg in self.args]}


@dataclass(frozen=True, slots=True)
class Not:
    """`not`: true for null and false."""

    arg: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean."""
        return not truthy(self.arg.evaluate(ctx, externs))

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "not", "arg": self.arg.to_json()}


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists`: the argument has a value and it is not null."""

    arg: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean; PathNotFound from anywhere inside counts as false."""
        try:
            return self.arg.evaluate(ctx, externs) is not None
        except FlowError as error:
            if error.kind == "PathNotFound":
                return False
            raise

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "exists", "arg": self.arg.to_json()}


@dataclass(frozen=True, slots=True)
class Len:
    """`len`: code points of a string, items of an array, keys of an object."""

    arg: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> int:
        """Returns an integer; raises TypeError of 'expr.len'."""
        value = self.arg.evaluate(ctx, externs)
        if isinstance(value, (str, list, dict)):
            return len(value)
        why = f"len: unsupported type {dump_compact(value)}"
        raise type_error("expr.len", why)

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {"op": "len", "arg": self.arg.to_json()}


@dataclass(frozen=True, slots=True)
class In:
    """`in`: an array holds an equal item."""

    needle: "Expr"
    haystack: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean; raises TypeError of 'expr.in'."""
        needle = self.needle.evaluate(ctx, externs)
        haystack = self.haystack.evaluate(ctx, externs)
        if not isinstance(haystack, list):
            got = dump_compact(haystack)
            raise type_error("expr.in", f"in: haystack must be array, got {got}")
        return any(json_equal(needle, item) for item in haystack)

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        needle, haystack = self.needle.to_json(), self.haystack.to_json()
        return {"op": "in", "needle": needle, "haystack": haystack}


@dataclass(frozen=True, slots=True)
class CallExtern:
    """`call_extern`: a pure function of the host, called with a list of values."""

    ref: str
    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns the function's value; raises what it raises as a FlowError."""
        values = [arg.evaluate(ctx, externs) for arg in self.args]
        if isinstance(externs, _Visits):
            externs = externs.externs
        if externs is None:
            raise extern_error(self.ref, "no externs registry configured")
        if self.ref not in externs:
            raise extern_error(self.ref, "not registered in externs")
        function = externs[self.ref]
        try:
            return function(values)
        except FlowError:
            raise
        except Exception as error:
            raise extern_error(self.ref, str(error)) from error

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        args = [arg.to_json() for arg in self.args]
        return {"op": "call_extern", "ref": self.ref, "args": args}


@dataclass(frozen=True, slots=True)
class Default:
    """`default` (dialect swarm): the argument, or `fallback` where it is absent."""

    arg: "Expr"
    fallback: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns a value; PathNotFound from anywhere inside means absent, null not."""
        try:
            return self.arg.evaluate(ctx, externs)
        except FlowError as error:
            if error.kind != "PathNotFound":
                raise
        return self.fallback.evaluate(ctx, externs)

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        arg, fallback = self.arg.to_json(), self.fallback.to_json()
        return {"op": "default", "arg": arg, "fallback": fallback}


@dataclass(frozen=True, slots=True)
class Quantifier:
    """`any`, `all` (dialect swarm): whether a condition holds for elements."""

    op: Literal["any", "all"]
    items: "Expr"
    bind: Path
    cond: "Expr"

    def evaluate(self, ctx: Json, externs: Externs | None) -> bool:
        """Returns a boolean; the elements after the one that decides are not seen."""
        decides = self.op == "any"
        visits = _visits(externs)
        for _, scope in _elements(self, ctx, visits, {}):
            if truthy(self.cond.evaluate(scope, visits)) is decides:
                return decides
        return not decides

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {**_loop_json(self), "cond": self.cond.to_json()}


@dataclass(frozen=True, slots=True)
class Filter:
    """`filter` (dialect swarm): the elements for which a condition holds."""

    items: "Expr"
    bind: Path
    cond: "Expr"
    op: Literal["filter"] = "filter"

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns a new array, its elements shared with the document."""
        visits = _visits(externs)
        return [
            item
            for item, scope in _elements(self, ctx, visits, {})
            if truthy(self.cond.evaluate(scope, visits))
        ]

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {**_loop_json(self), "cond": self.cond.to_json()}


@dataclass(frozen=True, slots=True)
class Map:
    """`map` (dialect swarm): an array of what an expression gives for each element."""

    items: "Expr"
    bind: Path
    value: "Expr"
    op: Literal["map"] = "map"

    def evaluate(self, ctx: Json, externs: Externs | None) -> Json:
        """Returns a new array, its elements shared with the document."""
        visits = _visits(externs)
        owned: dict[int, Json] = {}
        values: list[Json] = []
        for _, scope in _elements(self, ctx, visits, owned):
            value = self.value.evaluate(scope, visits)
            if isinstance(value, (dict, list)):
                # It may be, or hold, the scope that the next element is written into.
                owned.clear()
            values.append(value)
        return values

    def to_json(self) -> dict[str, Json]:
        """Writes the expression back as JSON."""
        return {**_loop_json(self), "value": self.value.to_json()}


Expr: TypeAlias = (
    PathExpr
    | Lit
    | Arith
    | Equality
    | Ordering
    | And
    | Or
    | Not
    | Exists
    | Len
    | In
    | CallExtern
    | Default
    | Quantifier
    | Filter
    | Map
)

# What these give may be a new list that holds parts of the document.
GATHERING: Final = frozenset({Default, Filter, Map})
# What these give may hold one part of the document, or of the host, many times.
MULTIPLYING: Final = GATHERING | {CallExtern}


def evaluate_expr(expr: Expr, ctx: Json, externs: Externs | None = None) -> Json:
    """Evaluates an expression on a context that it does not change.

    `externs` maps names to pure functions of one list of values. Containers in the
    result are shared with the context or the program. Raises FlowError.
    """
    return expr.evaluate(ctx, externs)


class _Visits:
    """The externs of an expression over arrays, and the elements it may still see.

    Nested loops multiply, so without a bound a short text could run for years.
    """

    __slots__ = ("externs", "left")

    def __init__(self, externs: Externs | None) -> None:
        self.externs = externs
        self.left = MOST_ELEMENTS

    def __contains__(self, ref: object, /) -> bool:
        return self.externs is not None and ref in self.externs

    def __getitem__(self, ref: str, /) -> Extern:
        assert self.externs is not None  # noqa: S101 - it contains the ref
        return self.externs[ref]


def _visits(externs: Externs | None) -> _Visits:
    return externs if isinstance(externs, _Visits) else _Visits(externs)


def _elements(
    loop: Quantifier | Filter | Map, ctx: Json, visits: _Visits, owned: dict[int, Json]
) -> Iterator[tuple[Json, Json]]:
    """Yields each element and the document with the element at the loop's `as`.

    The next element is written in place into what is still in `owned`.
    """
    items = loop.items.evaluate(ctx, visits)
    op = f"expr.{loop.op}"
    if not isinstance(items, list):
        raise type_error(op, f"expected array, got {dump_compact(items)}")
    for item in items:
        visits.left -= 1
        if visits.left < 0:
            raise type_error(op, f"looks at more than {MOST_ELEMENTS} elements")
        if visits.externs is not None:
            # An extern may keep the document it was given.
            owned.clear()
        ctx = loop.bind.write_owned(ctx, item, owned)
        yield item, ctx


def _loop_json(loop: Quantifier | Filter | Map) -> dict[str, Json]:
    return {"op": loop.op, "in": loop.items.to_json(), "as": str(loop.bind)}
