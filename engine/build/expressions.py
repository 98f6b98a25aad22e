"""Expressions by operators: `ctx.score > 0.9` is `$.score > 0.9`.

Expressions have no public methods, so that every name is a key: `ctx.items` is a path.
What Python would answer at once (`bool`, `len`, `in`, f-strings) raises TypeError with
the word that makes an expression instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

from engine.flow import FlowError, parse_expr, print_expr
from engine.flow.expr import Expr, Lit, PathExpr
from engine.flow.functions import FUNCTIONS
from engine.flow.grammar import TEXT_NAMES
from engine.flow.json_text import find_fault
from engine.flow.makers import EXPR_MAKERS
from engine.flow.path import Path, swarm_path
from engine.flow.spelling import did_you_mean

Value: TypeAlias = Any
"""An expression, a JSON value, or a dict, list or tuple of values."""


class Expression:
    """An expression that is evaluated in a run; operators on it make others."""

    __slots__ = ("_expr",)

    _expr: Expr

    def __init__(self, made: Expr) -> None:
        """Keep the expression of the language."""
        object.__setattr__(self, "_expr", made)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        """Return the expression as text of the dialect, for people who debug."""
        return f"<{print_expr(self._expr)}>"

    def __getattr__(self, name: str) -> Expression:
        """Return the path of a key below this one."""
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is no key; write [{name!r}] if it is one")
        return self[name]

    def __getitem__(self, key: Any) -> Expression:
        """Return the path of a key or an index, or for a slice the part of a value."""
        if isinstance(key, slice):
            return _sliced(self, key)
        if isinstance(key, Expression) or not isinstance(self._expr, PathExpr):
            return functions.get(self, key)
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise TypeError(f"a key is a text or an integer, got {key!r}")
        at = self._expr.at
        return Expression(PathExpr(swarm_path((*at.keys, key))))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse an assignment, which Python would make at once."""
        raise TypeError(f"a run assigns: write let({self._shown(name)}, …)")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        """Refuse an assignment, which Python would make at once."""
        raise TypeError("a run assigns: write let(PATH, …)")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse a removal, which Python would make at once."""
        raise TypeError(f"a run removes: write delete({self._shown(name)})")

    def __delitem__(self, key: object) -> NoReturn:
        """Refuse a removal, which Python would make at once."""
        raise TypeError("a run removes: write delete(PATH)")

    def _shown(self, name: str) -> str:
        return f"{print_expr(self._expr).replace('$', 'ctx', 1)}.{name}"

    def __eq__(self, other: Value) -> Expression:  # type: ignore[override]
        """Return `self == other`, as an expression."""
        return _pair("eq", self, other)

    def __ne__(self, other: Value) -> Expression:  # type: ignore[override]
        """Return `self != other`, as an expression."""
        return _pair("ne", self, other)

    def __lt__(self, other: Value) -> Expression:
        """Return `self < other`."""
        return _pair("lt", self, other)

    def __le__(self, other: Value) -> Expression:
        """Return `self <= other`."""
        return _pair("lte", self, other)

    def __gt__(self, other: Value) -> Expression:
        """Return `self > other`."""
        return _pair("gt", self, other)

    def __ge__(self, other: Value) -> Expression:
        """Return `self >= other`."""
        return _pair("gte", self, other)

    def __add__(self, other: Value) -> Expression:
        """Return `self + other`."""
        return _pair("add", self, other)

    def __radd__(self, other: Value) -> Expression:
        """Return `other + self`."""
        return _pair("add", other, self)

    def __sub__(self, other: Value) -> Expression:
        """Return `self - other`."""
        return _pair("sub", self, other)

    def __rsub__(self, other: Value) -> Expression:
        """Return `other - self`."""
        return _pair("sub", other, self)

    def __mul__(self, other: Value) -> Expression:
        """Return `self * other`."""
        return _pair("mul", self, other)

    def __rmul__(self, other: Value) -> Expression:
        """Return `other * self`."""
        return _pair("mul", other, self)

    def __truediv__(self, other: Value) -> Expression:
        """Return `self / other`."""
        return _pair("div", self, other)

    def __rtruediv__(self, other: Value) -> Expression:
        """Return `other / self`."""
        return _pair("div", other, self)

    def __mod__(self, other: Value) -> Expression:
        """Return `self % other`."""
        return _pair("mod", self, other)

    def __rmod__(self, other: Value) -> Expression:
        """Return `other % self`."""
        return _pair("mod", other, self)

    def __bool__(self) -> NoReturn:
        """Refuse `if`, `and`, `or`, `not` and chained comparisons."""
        raise _only_in_a_run(
            "write branch(…) for `if`, and_(…), or_(…) and not_(…) for `and`, `or` and"
            " `not`, and_(a < b, b < c) for `a < b < c`"
        )

    def __iter__(self) -> NoReturn:
        """Refuse `for`, unpacking and `list`."""
        raise _only_in_a_run("write fanout(…) or loop(…) for `for`, map_(…) for a list")

    def __contains__(self, item: object) -> NoReturn:
        """Refuse `in`."""
        raise _only_in_a_run("write in_(ITEM, ITEMS) for `in`")

    def __len__(self) -> NoReturn:
        """Refuse `len`."""
        raise _only_in_a_run("write functions.length(…) for `len`")

    def __str__(self) -> NoReturn:
        """Refuse `str` and `print`."""
        raise _only_in_a_run(
            "write functions.to_string(…) for `str`; `repr` shows an expression"
        )

    def __format__(self, spec: str) -> NoReturn:
        """Refuse f-strings and `format`."""
        raise _only_in_a_run('write template("About ", ctx.topic) for an f-string')

    def __neg__(self) -> NoReturn:
        """Refuse the minus of one operand."""
        raise TypeError("an expression has no minus of one operand: write 0 - x")

    def __call__(self, *args: object, **named: object) -> NoReturn:
        """Refuse the call of a method."""
        raise TypeError(
            f"{self!r} is no function; those of the language are in `functions`, such as"
            " functions.upper(ctx.text)"
        )


def _only_in_a_run(hint: str) -> TypeError:
    return TypeError(f"an expression has its value only in a run: {hint}")


def unwrapped(value: Value, what: str = "a value") -> Expr:
    """Return the expression of the language that a Python value stands for.

    Raises TypeError for a value that is neither an expression nor JSON.
    """
    match value:
        case Expression():
            return value._expr
        case dict():
            for key in value:
                if not isinstance(key, str):
                    raise TypeError(
                        f"{what}: a key of an object is a text, got {key!r}"
                    )
            entries = {key: unwrapped(part, what) for key, part in value.items()}
            return EXPR_MAKERS["object"](entries)
        case list() | tuple():
            return EXPR_MAKERS["array"](tuple(unwrapped(part, what) for part in value))
        case None | bool() | int() | float() | str():
            if fault := find_fault(value):
                raise TypeError(f"{what}: {fault[1]}")
            return Lit(value)
    kind = type(value).__name__
    raise TypeError(f"{what}: expected an expression or a JSON value, got a {kind}")


def target(value: Value, what: str) -> Path:
    """Return the path that an expression is; raises TypeError if it is none."""
    if isinstance(value, Expression) and isinstance(value._expr, PathExpr):
        return value._expr.at
    raise TypeError(f"{what}: expected a path such as ctx.text, got {value!r}")


def _made(op: str, *fields: Any) -> Expression:
    return Expression(EXPR_MAKERS[op](*fields))


def _pair(op: str, lhs: Value, rhs: Value) -> Expression:
    return _made(op, unwrapped(lhs), unwrapped(rhs))


def _all(op: str, values: tuple[Value, ...]) -> Expression:
    return _made(op, tuple(unwrapped(one) for one in values))


def _sliced(value: Expression, key: slice) -> Expression:
    if key.step is not None:
        raise TypeError("a slice has no step: write [START:END]")
    start = 0 if key.start is None else key.start
    return functions.slice(value, start, *([] if key.stop is None else [key.stop]))


def not_(value: Value) -> Expression:
    """Return `not value`: true for null and false."""
    return _made("not", unwrapped(value))


def and_(*values: Value) -> Expression:
    """Return the values joined by `and`."""
    return _all("and", values)


def or_(*values: Value) -> Expression:
    """Return the values joined by `or`."""
    return _all("or", values)


def in_(item: Value, items: Value) -> Expression:
    """Return `item in items`."""
    return _pair("in", item, items)


def exists(value: Value) -> Expression:
    """Return whether a value exists and is not null."""
    return _made("exists", unwrapped(value))


def default(value: Value, fallback: Value) -> Expression:
    """Return a value, or `fallback` where a path in it is absent."""
    return _pair("default", value, fallback)


def template(*parts: Value) -> Expression:
    """Return one text of all parts; what is no text is written as by `to_string`."""
    return _all("template", parts)


def call_extern(name: str, *values: Value) -> Expression:
    """Return the call of a pure function of the host."""
    return _made("call_extern", name, tuple(unwrapped(one) for one in values))


Each: TypeAlias = Callable[[Expression], Value]
"""A function of one element, such as `lambda row: row.score > 3`.

The name of its parameter is the name that the element has in the program.
"""


def filter_(items: Value, each: Each) -> Expression:
    """Return the elements for which a condition holds."""
    return _of_elements("filter", items, each)


def map_(items: Value, each: Each) -> Expression:
    """Return an array of one value per element."""
    return _of_elements("map", items, each)


def any_(items: Value, each: Each) -> Expression:
    """Return whether a condition holds for an element."""
    return _of_elements("any", items, each)


def all_(items: Value, each: Each) -> Expression:
    """Return whether a condition holds for all elements."""
    return _of_elements("all", items, each)


def sort_by(items: Value, each: Each) -> Expression:
    """Return the elements in the order of one value per element."""
    return _of_elements("sort_by", items, each)


def _of_elements(op: str, items: Value, each: Each) -> Expression:
    if isinstance(each, Expression) or not callable(each):
        names: list[str] = []
    else:
        names = list(inspect.signature(each).parameters)
    if len(names) != 1:
        wanted = "a function of one element, such as lambda row: row.score > 3"
        raise TypeError(f"{op}: expected {wanted}, got {each!r}")
    bind = swarm_path((names[0],))
    value = each(Expression(PathExpr(bind)))
    return _made(op, unwrapped(items), bind, unwrapped(value))


def expr(text: str) -> Expression:
    """Return the expression that a text of the dialect is; raises ValueError."""
    if not isinstance(text, str):
        raise TypeError(f"expr: expected a text, got {text!r}")
    try:
        return Expression(parse_expr(text, "swarm"))
    except FlowError as error:
        raise ValueError(f"expr: {error}") from None


class _Functions:
    """The functions of the language by their names: `functions.upper(ctx.text)`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        """Return the function of a name; raise AttributeError for an unknown one."""
        if name in _LENGTH:
            return lambda value: _made(_LENGTH[name], unwrapped(value))
        if name not in FUNCTIONS:
            hint = did_you_mean(name, self.__dir__())
            raise AttributeError(f"the language has no function {name!r}; {hint}")
        function = FUNCTIONS[name]

        def call(*values: Value) -> Expression:
            if not function.least <= len(values) <= (function.most or len(values)):
                raise TypeError(
                    f"expected the arguments of {function.signature}, got {len(values)}"
                )
            return _all(name, values)

        return call

    def __dir__(self) -> list[str]:
        """Return the names of the functions."""
        return [*_LENGTH, *FUNCTIONS]


_LENGTH: Final = {name: op for op, name in TEXT_NAMES.items()}
functions: Final = _Functions()
ctx: Final = Expression(PathExpr(swarm_path(())))
"""The Ctx of a run; `ctx.a["any key"][0]` is the path `$.a["any key"][0]`."""
