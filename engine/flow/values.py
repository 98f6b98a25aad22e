"""The operations on JSON values: truth, types, equality, order, text, arithmetic.

Rules: docs/guides/the-language.md, Expressions.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.flow.allowance import Allowance
from engine.flow.errors import FlowError, arith_error, type_error
from engine.flow.json_text import Json, dump_compact, dump_shown
from engine.flow.offloaded import Offloaded, looked_into

TOO_DEEP: Final = "a value nested too deeply"
_SHOWN: Final = 40
# Python writes integral doubles from here on with an exponent.
_EXPONENT: Final = 1e16


def with_article(noun: str) -> str:
    """Return a noun after `a` or `an`."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def truthy(value: Json) -> bool:
    """Return whether a value counts as true: everything but null and false."""
    return value is not None and value is not False


def is_number(value: Json) -> bool:
    """Return whether a value is a number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_double(value: float) -> float:
    """Return a number as a double; integers beyond its range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def json_equal(lhs: Json, rhs: Json, allowance: Allowance | None = None) -> bool:
    """Return whether two values are equal, with numbers as doubles.

    A boolean does not equal a number. With an `allowance`, raises TypeError of 'eq' in
    a loop that compares too much.

    The walk keeps its own stack, so values of any nesting can be compared.
    """
    pairs = [(lhs, rhs)]
    while pairs:
        a, b = pairs.pop()
        if a is b:
            continue
        if type(a) is Offloaded or type(b) is Offloaded:
            pairs.append((looked_into(a), looked_into(b)))
        elif isinstance(a, str):
            if not _same_text(a, b, allowance):
                return False
        elif is_number(a):
            if not is_number(b) or as_double(a) != as_double(b):
                return False
        elif not _same_shape(a, b, allowance):
            return False
        else:
            pairs.extend(_pairs_of(a, b))
    return True


def _pairs_of(a: Json, b: Json) -> Iterable[tuple[Json, Json]]:
    """Return the pairs of items of two containers of the same shape."""
    if isinstance(a, dict):
        return ((item, b[key]) for key, item in a.items())
    return zip(a, b, strict=True)


def _same_text(a: str, b: Json, allowance: Allowance | None) -> bool:
    """Return whether a value is the same text as another."""
    if not isinstance(b, str) or len(a) != len(b):
        return False
    if allowance is not None and allowance.is_used:
        allowance.read("eq", a)
    return a == b


def _same_shape(a: Json, b: Json, allowance: Allowance | None) -> bool:
    """Return whether two containers have the same keys, or the same length."""
    if isinstance(a, dict):
        if not isinstance(b, dict) or len(a) != len(b):
            return False
        if allowance is not None and allowance.is_used:
            allowance.read_keys("eq", a)
        return a.keys() == b.keys()
    if not isinstance(a, list) or not isinstance(b, list) or len(a) != len(b):
        return False
    if allowance is not None and allowance.is_used:
        allowance.visit("eq", len(a))
    return True


def type_name(value: Json) -> str:
    """Return the JSON type of a value: `null`, `boolean`, `number` and so on."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case Offloaded():
            return type_name(value.load())
        case _:
            return "object"


def wrong_type(op: str, what: str, expected: str, value: Json) -> FlowError:
    """Return the error of an argument or item `what` that is not as `expected`."""
    value = looked_into(value)
    shown = type_name(value)
    if isinstance(value, str) and len(value) > _SHOWN:
        shown = dump_compact(value[:_SHOWN] + "…")
    elif not isinstance(value, (dict, list)):
        shown = dump_compact(value)
    return type_error(op, f"{what}: expected {expected}, got {shown}")


def comparable(op: str, values: list[Json], allowance: Allowance) -> list[Json]:
    """Return values to compare in the place of numbers or strings.

    Raises TypeError unless all are numbers or all are strings.
    """
    allowance.visit(op, len(values))
    if not values or is_number(values[0]):
        expected = "number, as the first is" if len(values) > 1 else "number"
        for at, value in enumerate(values):
            if not is_number(value):
                raise wrong_type(op, f"item {at}", expected, value)
        return [as_double(value) for value in values]
    several = "string, as the first is" if len(values) > 1 else "number or string"
    values = [looked_into(value) for value in values]
    expected = several if isinstance(values[0], str) else "number or string"
    for at, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong_type(op, f"item {at}", expected, value)
        allowance.read(op, value)
    return values


def sorted_by(items: list[Json], keys: list[Json]) -> list[Json]:
    """Return items in the order of their keys; equal keys keep their order."""
    order = sorted(range(len(items)), key=keys.__getitem__)
    return [items[at] for at in order]


def text_of(op: str, value: Json, allowance: Allowance) -> str:
    """Return a string as it is, any other value as JSON without spaces, keys sorted.

    Integral doubles are written without `.0`.
    """
    value = looked_into(value)
    if isinstance(value, str):
        allowance.write(op, len(value))
        return value
    left = allowance.text
    try:
        text = dump_compact(_plain(op, value, allowance))
    except RecursionError:
        raise type_error(op, TOO_DEEP) from None
    allowance.write(op, max(0, len(text) - (left - allowance.text)))
    return text


def _plain(op: str, value: Json, allowance: Allowance) -> Json:
    """Return a copy of a value with integral doubles as integers.

    One part may be in a value many times, so all is spent before anything is written.
    """
    value = looked_into(value)
    if isinstance(value, str):
        allowance.write(op, len(value))
    elif isinstance(value, list):
        allowance.visit(op, 1 + len(value))
        return [_plain(op, item, allowance) for item in value]
    elif isinstance(value, dict):
        allowance.visit(op, 1 + len(value))
        allowance.write(op, sum(map(len, value)))
        return {key: _plain(op, item, allowance) for key, item in value.items()}
    elif isinstance(value, float) and value.is_integer() and abs(value) < _EXPONENT:
        return int(value)
    return value


def operand(op: str, value: Json) -> float:
    """Return a number as a double; raises TypeError of `op`."""
    if not is_number(value):
        raise type_error(op, f"expected number, got {dump_shown(value)}")
    return as_double(value)


def not_finite(op: str, result: float) -> FlowError:
    """Return the error of an arithmetic operation whose result is not finite."""
    shown = "NaN" if math.isnan(result) else str(result)
    return arith_error(op, f"result not f64-representable: {shown}")


def _divide(a: float, b: float) -> float:
    if b == 0.0:
        raise arith_error("div", "arithmetic failure (e.g. division by zero)")
    return a / b


def _floored_mod(a: float, b: float) -> float:
    """Return a - floor(a/b)*b in doubles, which is not Python's `%`."""
    if b == 0.0:
        raise arith_error("mod", "arithmetic failure (e.g. division by zero)")
    quotient = a / b
    if math.isfinite(quotient):
        # floor() gives an integer and so would lose the sign of -0.0.
        quotient = math.copysign(float(math.floor(quotient)), quotient)
    return a - quotient * b


ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": _divide,
    "mod": _floored_mod,
}
ORDERINGS: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
