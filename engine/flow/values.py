"""What operators do with JSON values: truth, numbers, equality, arithmetic.

Rules: language-semantics, Numbers to Comparison.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Final

from engine.flow.errors import arith_error, type_error
from engine.flow.json_text import Json, dump_compact


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


def operand(op: str, value: Json) -> float:
    """Returns a number as a double; raises TypeError of `op`."""
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
