"""The expressions: pure functions of the document, all on one page.

Semantics: language-semantics, Numbers to Paths. Each class evaluates itself, one
Python frame a level, which is the fastest form of a closed set; every evaluation goes
left to right and checks types only after all operands have values.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from engine.flow.decode import (
    read_array,
    read_path,
    read_string,
    read_tag,
    require_json,
)
from engine.flow.errors import (
    FlowError,
    arith_error,
    extern_error,
    type_error,
)
from engine.flow.json_text import Json, dump_compact
from engine.flow.path import Path

Extern: TypeAlias = Callable[[list[Json]], Json]


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
            lhs = _operand(self.op, lhs)
        if type(rhs) is not float:
            rhs = _operand(self.op, rhs)
        result = _ARITHMETIC[self.op](lhs, rhs)
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
            return _ORDERINGS[self.op](as_double(lhs), as_double(rhs))
        if isinstance(lhs, str) and isinstance(rhs, str):
            return _ORDERINGS[self.op](lhs, rhs)
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
)


def parse_expr(value: Json) -> Expr:
    """Reads an expression from its JSON value; raises ParseError."""
    require_json(value)
    return read_expr(value, "$")


def read_expr(value: Json, place: str) -> Expr:
    """Reads an expression that stands at `place` of a program already known as JSON."""
    if place != "$" and _is_numbered_literal(value):
        return Lit(value[1])
    op = read_tag(value, place, "op", _FIELDS)
    match op:
        case "path":
            return PathExpr(read_path(value["at"], f"{place}.at"))
        case "lit":
            return Lit(value["value"])
        case "and":
            return And(_read_args(value, place))
        case "or":
            return Or(_read_args(value, place))
        case "call_extern":
            ref = read_string(value["ref"], f"{place}.ref")
            return CallExtern(ref, _read_args(value, place))
        case "in":
            needle = read_expr(value["needle"], f"{place}.needle")
            return In(needle, read_expr(value["haystack"], f"{place}.haystack"))
        case "not" | "exists" | "len":
            return _UNARY[op](read_expr(value["arg"], f"{place}.arg"))
        case _:
            lhs = read_expr(value["lhs"], f"{place}.lhs")
            return _BINARY[op](op, lhs, read_expr(value["rhs"], f"{place}.rhs"))


def _is_numbered_literal(value: Json) -> bool:
    """Tells `[1, value]`, the reference's other spelling of a literal inside a program.

    Conformance case edge-parse-node-156 asks for it. A Blueprint that says it means an
    array, so the Blueprint compiler refuses it.
    """
    return (
        type(value) is list
        and len(value) == 2
        and type(value[0]) is int
        and value[0] == 1
    )


def evaluate_expr(expr: Expr, ctx: Json, externs: Externs | None = None) -> Json:
    """Evaluates an expression on a context that it does not change.

    `externs` maps names to pure functions of one list of values. Containers in the
    result are shared with the context or the program. Raises FlowError.
    """
    return expr.evaluate(ctx, externs)


def truthy(value: Json) -> bool:
    """Tells whether a value counts as true: everything but null and false."""
    return value is not None and value is not False


def is_number(value: Json) -> bool:
    """Tells whether a value is a number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_double(value: float) -> float:
    """Returns a number as a double; integers beyond its range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def json_equal(lhs: Json, rhs: Json) -> bool:
    """Tells whether two values are equal, numbers as doubles, booleans no numbers.

    The walk keeps its own list, so values of any nesting can be compared.
    """
    pairs = [(lhs, rhs)]
    while pairs:
        a, b = pairs.pop()
        if a is b:
            continue
        if isinstance(a, str):
            if not isinstance(b, str) or a != b:
                return False
        elif is_number(a):
            if not is_number(b) or as_double(a) != as_double(b):
                return False
        elif not _same_shape(a, b):
            return False
        elif isinstance(a, dict):
            pairs.extend((item, b[key]) for key, item in a.items())
        else:
            pairs.extend(zip(a, b, strict=True))
    return True


def _same_shape(a: Json, b: Json) -> bool:
    """Tells whether two containers have the same keys, or the same length."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys()
    return isinstance(a, list) and isinstance(b, list) and len(a) == len(b)


def _read_args(value: Json, place: str) -> tuple[Expr, ...]:
    args = read_array(value["args"], f"{place}.args")
    return tuple([read_expr(a, f"{place}.args[{n}]") for n, a in enumerate(args)])


def _operand(op: str, value: Json) -> float:
    if not is_number(value):
        raise type_error(op, f"expected number, got {dump_compact(value)}")
    return as_double(value)


def _divide(a: float, b: float) -> float:
    if b == 0.0:
        raise arith_error("div", "arithmetic failure (e.g. division by zero)")
    return a / b


def _floored_mod(a: float, b: float) -> float:
    """Returns a - floor(a/b)*b in doubles, which is not Python's `%`."""
    if b == 0.0:
        raise arith_error("mod", "arithmetic failure (e.g. division by zero)")
    quotient = a / b
    if math.isfinite(quotient):
        # floor() gives an integer and so would lose the sign of -0.0.
        quotient = math.copysign(float(math.floor(quotient)), quotient)
    return a - quotient * b


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divide,
    "mod": _floored_mod,
}
_ORDERINGS: Mapping[str, Callable[[Json, Json], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_UNARY: Mapping[str, type[Not | Exists | Len]] = {
    "not": Not,
    "exists": Exists,
    "len": Len,
}
_BINARY: Mapping[str, type[Arith | Equality | Ordering]] = {
    "eq": Equality,
    "ne": Equality,
    **dict.fromkeys(_ORDERINGS, Ordering),
    **dict.fromkeys(_ARITHMETIC, Arith),
}
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "path": ("at",),
    "lit": ("value",),
    "and": ("args",),
    "or": ("args",),
    "in": ("needle", "haystack"),
    "call_extern": ("ref", "args"),
    **dict.fromkeys(_UNARY, ("arg",)),
    **dict.fromkeys(_BINARY, ("lhs", "rhs")),
}
