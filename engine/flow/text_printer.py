"""Writes expressions as text of the dialect `swarm`; the text parser reads it back."""

import re
from collections.abc import Iterator
from typing import Final

from engine.flow.expr import Array, Expr, Lit, Not, Object, PathExpr, Template
from engine.flow.grammar import (
    AND_LEVEL,
    COMPARISON_LEVEL,
    DOLLAR_KEYS,
    INFIX,
    NOT_LEVEL,
    OR_LEVEL,
    RESERVED,
    TEXT_NAMES,
)
from engine.flow.json_text import Json, dump_visible
from engine.flow.path import IDENTIFIER, Path, swarm_segment

_IDENTIFIER: Final = re.compile(IDENTIFIER)
# A literal with more levels is written as JSON, which the parser reads in one go.
_MOST_LEVELS: Final = 8
_NO_NAMES: Final[frozenset[str]] = frozenset()


def print_expr(expr: Expr) -> str:
    """Return the text of an expression.

    The parser reads an expression in normal form back from it, unless the text is
    longer or nested deeper than the parser allows.
    """
    return _text(expr, OR_LEVEL, _NO_NAMES)


def _text(expr: Expr, least: int, bound: frozenset[str]) -> str:
    """Return the text of an operand of an operator that binds as close as `least`.

    `bound` are the names that functions around the expression bind.
    """
    match expr:
        case PathExpr():
            return _path(expr.at, bound)
        case Lit():
            return _literal(expr.value)
        case Object():
            return _object(
                (key, _text(part, OR_LEVEL, bound))
                for key, part in expr.entries.items()
            )
        case Array():
            return f"[{_listed(expr.items, bound)}]"
        case Template():
            return f'"{"".join(_piece(part, bound) for part in expr.parts)}"'
        case Not():
            return _not(expr, least, bound)
    infix = INFIX.get(expr.op)
    if infix is None:
        return _call(expr, bound)
    operands = [*expr.field_values()]
    if infix.level <= AND_LEVEL:
        [operands] = operands
        if len(operands) < 2:
            return _call(expr, bound)
    # Of `or` and `and` no operand is joined to the others, of the rest the first may be.
    closer = infix.level + 1
    first = infix.level if infix.level > COMPARISON_LEVEL else closer
    texts = [_text(operands[0], first, bound)]
    texts += [_text(one, closer, bound) for one in operands[1:]]
    return _inside(f" {infix.symbol} ".join(texts), infix.level, least)


def _inside(text: str, level: int, least: int) -> str:
    """Return a text, between brackets where the operator outside binds closer."""
    return text if level >= least else f"({text})"


def _not(expr: Not, least: int, bound: frozenset[str]) -> str:
    inner: Expr = expr.arg
    if inner.op == "in":
        closer = COMPARISON_LEVEL + 1
        needle, haystack = (_text(one, closer, bound) for one in inner.field_values())
        return _inside(f"{needle} not in {haystack}", COMPARISON_LEVEL, least)
    return _inside(f"not {_text(inner, NOT_LEVEL, bound)}", NOT_LEVEL, least)


def _call(expr: Expr, bound: frozenset[str]) -> str:
    """Return the call of a function: the values of its fields are the arguments."""
    texts: list[str] = []
    for value in expr.field_values():
        match value:
            case Path():
                texts.append(_binder(value))
                bound = bound | _names(value)
            case str():
                texts.append(_plain(value))
            case tuple():
                texts += [_text(one, OR_LEVEL, bound) for one in value]
            case _:
                texts.append(_text(value, OR_LEVEL, bound))
    return f"{TEXT_NAMES.get(expr.op, expr.op)}({', '.join(texts)})"


def _listed(parts: tuple[Expr, ...], bound: frozenset[str]) -> str:
    return ", ".join(_text(part, OR_LEVEL, bound) for part in parts)


def _object(entries: Iterator[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{_key(key)}: {text}' for key, text in entries)}}}"


def _key(key: str) -> str:
    is_plain = key in DOLLAR_KEYS or _IDENTIFIER.fullmatch(key)
    return key if is_plain else _plain(key)


def _piece(part: Expr, bound: frozenset[str]) -> str:
    """Return a part of a template: a text without marks, or an expression in braces."""
    if isinstance(part, Lit) and isinstance(part.value, str):
        return dump_visible(part.value)[1:-1].replace("{", "{{").replace("}", "}}")
    text = _text(part, OR_LEVEL, bound)
    # Two braces would be read as one that is text.
    return f"{{ {text} }}" if text.startswith("{") else f"{{{text}}}"


def _names(binder: Path) -> frozenset[str]:
    """Return the name that a binder gives to the expressions behind it, if any."""
    match binder.keys:
        case (str() as name,) if _IDENTIFIER.fullmatch(name) and name not in RESERVED:
            return frozenset({name})
    return _NO_NAMES


def _binder(binder: Path) -> str:
    return "".join(_names(binder)) or _path(binder, _NO_NAMES)


def _path(path: Path, bound: frozenset[str]) -> str:
    text = "$" + "".join(map(swarm_segment, path.keys))
    return text.removeprefix("$.") if path.keys and path.keys[0] in bound else text


def _literal(value: Json) -> str:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, dict | list) and not _is_shallow(value, _MOST_LEVELS):
        return f"lit({dump_visible(value)})"
    match value:
        case dict():
            return _object((key, _literal(part)) for key, part in sorted(value.items()))
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case _:
            return dump_visible(value)


def _is_shallow(value: Json, levels: int) -> bool:
    """Return whether a value has few levels and no key that begins with `$`."""
    if not isinstance(value, dict | list):
        return True
    if isinstance(value, dict) and any(key.startswith("$") for key in value):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)


def _plain(text: str) -> str:
    """Return a text between apostrophes."""
    # JSON escapes quotation marks, which need none here.
    inner = dump_visible(text)[1:-1].replace('\\"', '"')
    return "'" + inner.replace("'", "\\'") + "'"
