"""Rewrites trees of operators as text, in documents of the dialect `swarm`."""

from collections.abc import Callable
from typing import Final

from engine.flow import FlowError, parse_expr, print_expr, read_expr
from engine.flow.expr import Array, Expr, Lit, Object, PathExpr
from engine.flow.grammar import NODE_WORDS
from engine.flow.json_text import Json
from engine.flow.path import read_path

Note = Callable[[str, str], None]
# A longer text of a document is easier to read as a literal of its own.
_MOST_TEXT: Final = 120


def with_texts(node: Json, place: str, note: Note) -> Json:
    """Return a node and those below it with text for trees, and note each change.

    What can't be read stays as it is: the compiler reports it.
    """
    if not isinstance(node, dict):
        return node
    word = NODE_WORDS["swarm"].all_words.get(str(node.get("kind")))
    if word is None:
        return node
    written = dict(node)
    for field in word.fields:
        if field.name not in node:
            continue
        value, at = node[field.name], f"{place}.{field.name}"
        match field.type:
            case "expression":
                written[field.name] = expr_with_text(value, at, note, field.dollar_keys)
            case "path expression" | "path" | "path below $":
                written[field.name] = _target(value, at, note)
            case "node":
                written[field.name] = with_texts(value, at, note)
            case "nodes" if isinstance(value, list):
                written[field.name] = [
                    with_texts(one, f"{at}[{n}]", note) for n, one in enumerate(value)
                ]
    return written


def expr_with_text(
    value: Json, place: str, note: Note, dollar_keys: tuple[str, ...] = ()
) -> Json:
    """Return the shortest source of an expression that is a tree, and note the change."""
    expr = _read(value, dollar_keys)
    if expr is None:
        return value
    source = _source(expr, dollar_keys)
    try:
        again = parse_expr(source, "swarm", dollar_keys=dollar_keys).to_json()
    except FlowError:
        # The text would be longer or deeper than a text may be, or has a key with `$`.
        again = None
    if again != expr.to_json():
        return value
    note(place, "the tree is now text")
    return source


def _target(value: Json, place: str, note: Note) -> Json:
    """Return a path that is written to as text, in the spelling of today."""
    text = value
    if isinstance(value, dict):
        expr = _read(value)
        text = str(expr) if isinstance(expr, PathExpr) else value
    elif isinstance(value, str):
        try:
            text = str(read_path(value, "swarm"))
        except FlowError:
            return value
    if text != value:
        note(place, "the path is now text in the spelling of today")
    return text


def _read(value: Json, dollar_keys: tuple[str, ...] = ()) -> Expr | None:
    """Return the expression of a tree, None for anything else."""
    if not isinstance(value, dict) or "op" not in value:
        return None
    try:
        return parse_expr(value, "swarm", dollar_keys=dollar_keys)
    except FlowError:
        pass
    try:
        # Older trees have plain keys that are no identifiers.
        return read_expr(value, "swarm")
    except FlowError:
        return None


def _source(expr: Expr, dollar_keys: tuple[str, ...] = ()) -> Json:
    """Return the source of an expression that its author would write."""
    match expr:
        case Lit(value=bool() | int() | float() as value):
            return value
        case Lit(value=list() as value) if all(
            type(one) in (int, float) for one in value
        ):
            return value
        case Lit(value=dict() | list() | None as value):
            return {"lit": value}
        case Lit(value=str() as text) if len(text) > _MOST_TEXT or "\n" in text:
            return {"lit": text}
        case Array():
            return [_source(one) for one in expr.items]
        case Object() if not _is_form(expr, dollar_keys):
            return {key: _source(one) for key, one in expr.entries.items()}
        case _:
            return print_expr(expr)


def _is_form(expr: Object, dollar_keys: tuple[str, ...]) -> bool:
    """Return whether an object with the keys of another stands for something else."""
    keys = expr.entries.keys() - set(dollar_keys)
    words = {"op", "lit", "template", "object"}
    return bool(keys & words) or any(key.startswith("$") for key in keys)
