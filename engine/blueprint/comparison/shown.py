"""Short texts of an old and a new value, which show where the two part."""

from os.path import commonprefix
from typing import Any, Final

from engine.blueprint.comparison.values import ABSENT
from engine.flow import print_expr
from engine.flow.expr import Expr, Lit, PathExpr
from engine.flow.path import Path
from engine.flow.shortened import MARK

_MOST: Final = 60
_BEFORE: Final = 20
# No more of a value is looked at than a person could read.
_LONGEST: Final = 100_000


def shown_pair(old: Any, new: Any) -> tuple[str, str]:
    """Return the texts of two values of which one may be ABSENT, then it is empty.

    Of long ones only the part around the first difference is shown.
    """
    texts = [_text(old), _text(new)]
    if max(map(len, texts)) <= _MOST:
        return texts[0], texts[1]
    # Character by character, as it is meant here.
    start = max(0, len(commonprefix(texts)) - _BEFORE)  # noqa: RUF071
    first, second = (_excerpt(one, start) for one in texts)
    return first, second


def _text(value: Any) -> str:
    """Return a value as the text of an expression, on one line."""
    if value is ABSENT:
        return ""
    if isinstance(value, Path):
        value = PathExpr(value)
    expr: Expr = value if _is_expr(value) else Lit(value)
    return print_expr(expr)[:_LONGEST]


def _is_expr(value: Any) -> bool:
    return hasattr(value, "op") and hasattr(value, "to_json")


def _excerpt(text: str, start: int) -> str:
    if start < 4 and len(text) <= _MOST:
        return text
    end = start + _MOST
    before = MARK if start else ""
    return f"{before}{text[start:end]}{MARK if end < len(text) else ''}"
