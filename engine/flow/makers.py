"""The makers of expressions, which give the normal form.

`object`, `array` and `template` of literals are literals, so that two spellings of one
program are the same program.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from engine.flow.allowance import Allowance
from engine.flow.expr import (
    Arith,
    Array,
    Call,
    CallExtern,
    Default,
    Equality,
    Exists,
    Expr,
    Filter,
    In,
    Junction,
    Len,
    Lit,
    Map,
    Not,
    Object,
    Ordering,
    PathExpr,
    Quantifier,
    SortBy,
    Template,
)
from engine.flow.functions import FUNCTIONS
from engine.flow.values import ARITHMETIC, ORDERINGS, text_of


def _object(entries: Mapping[str, Expr]) -> Expr:
    """Return an object, its keys sorted; one of literals is a literal."""
    entries = dict(sorted(entries.items()))
    values = {key: part.value for key, part in entries.items() if type(part) is Lit}
    return Lit(values) if len(values) == len(entries) else Object(entries)


def _array(items: tuple[Expr, ...]) -> Expr:
    """Return an array; one of literals is a literal."""
    values = [part.value for part in items if type(part) is Lit]
    return Lit(values) if len(values) == len(items) else Array(items)


def _template(parts: tuple[Expr, ...]) -> Expr:
    """Return a template; one of literals is a literal.

    The literals in a template are strings, none of them empty or beside another.
    """
    normal: list[Expr] = []
    text = ""
    for part in (*parts, None):
        if type(part) is Lit:
            text += text_of("template", part.value, Allowance())
            continue
        if text:
            normal.append(Lit(text))
        if part is not None:
            normal.append(part)
        text = ""
    if all(type(part) is Lit for part in normal):
        return normal[0] if normal else Lit("")
    return Template(tuple(normal))


EXPR_MAKERS: Final[Mapping[str, Callable[..., Expr]]] = {
    **{
        part.op: part
        for part in (
            PathExpr, Lit, Not, Exists, Len, In, CallExtern, Default, Filter, Map,
            SortBy,
        )
    },
    **{name: partial(Call, name) for name in FUNCTIONS},
    **{op: partial(Arith, op) for op in ARITHMETIC},
    **{op: partial(Equality, op) for op in ("eq", "ne")},
    **{op: partial(Ordering, op) for op in ORDERINGS},
    "and": partial(Junction, "and"),
    "or": partial(Junction, "or"),
    "any": partial(Quantifier, "any"),
    "all": partial(Quantifier, "all"),
    "object": _object,
    "array": _array,
    "template": _template,
}  # fmt: skip
"""The makers of expressions by operator; their arguments are the operator's fields."""
