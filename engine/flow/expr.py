"""The expressions: pure functions of the document.

Semantics: docs/guides/the-language.md, Expressions. Each class evaluates itself, one
Python frame a level, which is the fastest form of a closed set; every evaluation goes
left to right and checks types only after all operands have values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from engine.flow.allowance import COPIED, Allowance, Externs
from engine.flow.errors import (
    FlowError,
    extern_error,
    type_error,
)
from engine.flow.functions import FUNCTIONS
from engine.flow.json_text import Json, dump_shown
from engine.flow.offloaded import Offloaded, loaded, looked_into
from engine.flow.part import Part
from engine.flow.path import Path
from engine.flow.values import (
    ARITHMETIC,
    ORDERINGS,
    as_double,
    comparable,
    is_number,
    json_equal,
    not_finite,
    operand,
    sorted_by,
    text_of,
    truthy,
)


class _Expr(Part):
    __slots__ = ()
    TAG = "op"


@dataclass(frozen=True, slots=True)
class PathExpr(_Expr):
    """`path`: the value at a path of the document."""

    op: ClassVar = "path"
    at: Path

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return the value, shared with the document; raises PathNotFound."""
        return self.at.read(ctx)

    def __str__(self) -> str:
        return str(self.at)


@dataclass(frozen=True, slots=True)
class Lit(_Expr):
    """`lit`: a value written in the program."""

    op: ClassVar = "lit"
    value: Json

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return the value, shared with the program."""
        return self.value


@dataclass(frozen=True, slots=True)
class Arith(_Expr):
    """`add`, `sub`, `mul`, `div`, `mod`: always a float."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> float:
        """Return a finite float; raises TypeError of the op, ArithError."""
        lhs = self.lhs.evaluate(ctx, allowance)
        rhs = self.rhs.evaluate(ctx, allowance)
        if type(lhs) is not float:
            lhs = operand(self.op, lhs)
        if type(rhs) is not float:
            rhs = operand(self.op, rhs)
        result = ARITHMETIC[self.op](lhs, rhs)
        if result - result != 0.0:
            raise not_finite(self.op, result)
        return result


@dataclass(frozen=True, slots=True)
class Equality(_Expr):
    """`eq`, `ne`: deep, with numbers as doubles at every depth."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean."""
        lhs = self.lhs.evaluate(ctx, allowance)
        rhs = self.rhs.evaluate(ctx, allowance)
        return json_equal(lhs, rhs, allowance) is (self.op == "eq")


@dataclass(frozen=True, slots=True)
class Ordering(_Expr):
    """`lt`, `lte`, `gt`, `gte`: two numbers or two strings."""

    op: str
    lhs: "Expr"
    rhs: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean; raises TypeError of 'cmp'."""
        lhs = self.lhs.evaluate(ctx, allowance)
        rhs = self.rhs.evaluate(ctx, allowance)
        if type(lhs) is Offloaded or type(rhs) is Offloaded:
            lhs, rhs = looked_into(lhs), looked_into(rhs)
        if is_number(lhs) and is_number(rhs):
            return ORDERINGS[self.op](as_double(lhs), as_double(rhs))
        if isinstance(lhs, str) and isinstance(rhs, str):
            if allowance.is_used:
                allowance.read("cmp", min(lhs, rhs, key=len))
            return ORDERINGS[self.op](lhs, rhs)
        got = f"{dump_shown(lhs)} vs {dump_shown(rhs)}"
        why = f"cmp: both sides must be numbers or strings, got {got}"
        raise type_error("cmp", why)


@dataclass(frozen=True, slots=True)
class Junction(_Expr):
    """`and`, `or`: the first falsy or truthy argument decides, later ones do not run."""

    op: Literal["and", "or"]
    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean, never the operand."""
        decides = self.op == "or"
        for arg in self.args:
            if truthy(arg.evaluate(ctx, allowance)) is decides:
                return decides
        return not decides


@dataclass(frozen=True, slots=True)
class Not(_Expr):
    """`not`: true for null and false."""

    op: ClassVar = "not"
    arg: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean."""
        return not truthy(self.arg.evaluate(ctx, allowance))


@dataclass(frozen=True, slots=True)
class Exists(_Expr):
    """`exists`: the argument has a value and it is not null."""

    op: ClassVar = "exists"
    arg: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean; PathNotFound from anywhere inside counts as false."""
        try:
            return self.arg.evaluate(ctx, allowance) is not None
        except FlowError as error:
            if error.kind == "PathNotFound":
                return False
            raise


@dataclass(frozen=True, slots=True)
class Len(_Expr):
    """`len`: code points of a string, items of an array, keys of an object."""

    op: ClassVar = "len"
    arg: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> int:
        """Return an integer; raises TypeError of 'expr.len'."""
        value = looked_into(self.arg.evaluate(ctx, allowance))
        if isinstance(value, (str, list, dict)):
            return len(value)
        why = f"len: unsupported type {dump_shown(value)}"
        raise type_error("expr.len", why)


@dataclass(frozen=True, slots=True)
class In(_Expr):
    """`in`: an array holds an equal item."""

    op: ClassVar = "in"
    needle: "Expr"
    haystack: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean; raises TypeError of 'expr.in'."""
        needle = self.needle.evaluate(ctx, allowance)
        haystack = looked_into(self.haystack.evaluate(ctx, allowance))
        if not isinstance(haystack, list):
            got = dump_shown(haystack)
            raise type_error("expr.in", f"in: haystack must be array, got {got}")
        if allowance.is_used:
            allowance.visit("expr.in", len(haystack))
        return any(json_equal(needle, item, allowance) for item in haystack)


@dataclass(frozen=True, slots=True)
class CallExtern(_Expr):
    """`call_extern`: a pure function of the host, called with a list of values."""

    op: ClassVar = "call_extern"
    ref: str
    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return the function's value; raises its errors as ExternError."""
        values = [loaded(arg.evaluate(ctx, allowance)) for arg in self.args]
        externs = allowance.externs
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


@dataclass(frozen=True, slots=True)
class Default(_Expr):
    """`default` (dialect swarm): the argument, or `fallback` if it is absent."""

    op: ClassVar = "default"
    arg: "Expr"
    fallback: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a value; PathNotFound from anywhere inside means absent, but null does not."""
        try:
            return self.arg.evaluate(ctx, allowance)
        except FlowError as error:
            if error.kind != "PathNotFound":
                raise
        return self.fallback.evaluate(ctx, allowance)


@dataclass(frozen=True, slots=True)
class Quantifier(_Expr):
    """`any`, `all` (dialect swarm): whether a condition holds for elements."""

    op: Literal["any", "all"]
    items: "Expr"
    bind: Path
    cond: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> bool:
        """Return a boolean; elements after the one that decides are not visited."""
        decides = self.op == "any"
        for _, scope in _elements(self, ctx, allowance, {}):
            if truthy(self.cond.evaluate(scope, allowance)) is decides:
                return decides
        return not decides


@dataclass(frozen=True, slots=True)
class Filter(_Expr):
    """`filter` (dialect swarm): the elements for which a condition holds."""

    op: ClassVar = "filter"
    items: "Expr"
    bind: Path
    cond: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a new array, its elements shared with the document."""
        return [
            item
            for item, scope in _elements(self, ctx, allowance, {})
            if truthy(self.cond.evaluate(scope, allowance))
        ]


@dataclass(frozen=True, slots=True)
class Map(_Expr):
    """`map` (dialect swarm): the values of an expression, one per element."""

    op: ClassVar = "map"
    items: "Expr"
    bind: Path
    value: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a new array, its elements shared with the document."""
        owned: dict[int, Json] = {}
        values: list[Json] = []
        for _, scope in _elements(self, ctx, allowance, owned):
            value = self.value.evaluate(scope, allowance)
            if isinstance(value, (dict, list)):
                # It may be, or contain, the scope that the next element is written into.
                owned.clear()
            values.append(value)
        return values


@dataclass(frozen=True, slots=True)
class SortBy(_Expr):
    """`sort_by` (dialect swarm): the elements in the order of an expression's values."""

    op: ClassVar = "sort_by"
    items: "Expr"
    bind: Path
    value: "Expr"

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a new array, its elements shared; equal ones keep their order."""
        items: list[Json] = []
        values: list[Json] = []
        for item, scope in _elements(self, ctx, allowance, {}):
            items.append(item)
            values.append(self.value.evaluate(scope, allowance))
        return sorted_by(items, comparable("expr.sort_by", values, allowance))


@dataclass(frozen=True, slots=True)
class Object(_Expr):
    """`object` (dialect swarm): an object of the values of expressions."""

    op: ClassVar = "object"
    entries: Mapping[str, "Expr"]

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a new object, its values shared with the document."""
        allowance.visit("object", len(self.entries))
        return {
            key: part.evaluate(ctx, allowance) for key, part in self.entries.items()
        }


@dataclass(frozen=True, slots=True)
class Array(_Expr):
    """`array` (dialect swarm): an array of the values of expressions."""

    op: ClassVar = "array"
    items: tuple["Expr", ...]

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a new array, its items shared with the document."""
        allowance.visit("array", len(self.items))
        return [part.evaluate(ctx, allowance) for part in self.items]


@dataclass(frozen=True, slots=True)
class Template(_Expr):
    """`template` (dialect swarm): one string of the values of expressions."""

    op: ClassVar = "template"
    parts: tuple["Expr", ...]

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return a string; raises TypeError of 'template' if it is too long."""
        return "".join(
            [
                text_of("template", part.evaluate(ctx, allowance), allowance)
                for part in self.parts
            ]
        )


@dataclass(frozen=True, slots=True)
class Call(_Expr):
    """A function of the dialect swarm, named by `op`."""

    op: str
    args: tuple["Expr", ...]

    def evaluate(self, ctx: Json, allowance: Allowance) -> Json:
        """Return the function's value; raises TypeError that names it and the argument."""
        values = [arg.evaluate(ctx, allowance) for arg in self.args]
        return FUNCTIONS[self.op].call(values, allowance)


Expr: TypeAlias = (
    PathExpr
    | Lit
    | Arith
    | Equality
    | Ordering
    | Junction
    | Not
    | Exists
    | Len
    | In
    | CallExtern
    | Default
    | Quantifier
    | Filter
    | Map
    | SortBy
    | Object
    | Array
    | Template
    | Call
)


# The value of these may be a new container that contains parts of the document.
GATHERING: Final = frozenset({Default, Filter, Map, SortBy, Object, Array, Call})
# The value of these may contain one part of the document or host many times.
MULTIPLYING: Final = GATHERING | {CallExtern}


def evaluate_expr(expr: Expr, ctx: Json, externs: Externs | None = None) -> Json:
    """Evaluate an expression on a context that it does not change.

    `externs` maps names to pure functions of one list of values. Containers in the
    result are shared with the context or the program. Raises FlowError.
    """
    return expr.evaluate(ctx, Allowance(externs))


def _elements(
    loop: Quantifier | Filter | Map | SortBy,
    ctx: Json,
    allowance: Allowance,
    owned: dict[int, Json],
) -> Iterator[tuple[Json, Json]]:
    """Yield each element and the document with the element at the loop's `as`.

    The next element is written in place into what is still in `owned`.
    """
    items = looked_into(loop.items.evaluate(ctx, allowance))
    op = f"expr.{loop.op}"
    if not isinstance(items, list):
        raise type_error(op, f"expected array, got {dump_shown(items)}")
    for item in items:
        allowance.visit(op, 1)
        if allowance.externs is not None:
            # An extern may keep the document that it was called with.
            owned.clear()
        if not owned:
            allowance.visit(op, loop.bind.width(ctx) // COPIED)
        ctx = loop.bind.write_owned(ctx, item, owned)
        yield item, ctx
