"""The comparisons inside a condition, each with the path whose value it compares."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from engine.blueprint.analysis.flow_walk import (
    BINDING,
    Keys,
    constant_of,
    is_at_or_below,
    keys_of,
    parts_of,
    paths_in,
)
from engine.flow.json_text import Json

ELEMENT: Final = 2**63
"""Stands in a path for any index: the analysis does not distinguish elements."""
# The truth of these operators depends on the truth of their arguments alone.
_LOGICAL: Final = ("not", "and", "or", "any", "all")
# The path that a quantifier binds, and that of its elements; None if that is unknown.
Scope: TypeAlias = tuple[tuple[Keys, Keys | None], ...]


@dataclass(frozen=True, slots=True)
class ValueSource:
    """The path of an expression's value, and the values that replace an absent one.

    `fallbacks` has UNKNOWN for a value that depends on the run.
    """

    path: Keys
    fallbacks: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of the value at a path with literals, each with its place.

    `op` is eq, ne or in. `negated`: an odd number of `not` surrounds it. `direct`: only
    logical operators surround it. `handles_absent`: the condition also considers that
    the path may be absent or null.
    """

    place: str
    op: str
    source: ValueSource
    literals: tuple[tuple[str, Json], ...]
    negated: bool
    direct: bool
    handles_absent: bool = False

    @property
    def texts(self) -> Iterator[str]:
        """The literals that are texts."""
        return (value for _, value in self.literals if isinstance(value, str))


def comparisons_in(place: str, cond: Json) -> list[Comparison]:
    """Return the comparisons of a condition, in the order of the document."""
    found = list(_comparisons(place, cond, (), negated=False, direct=True))
    if not found:
        return found
    optional = {read.keys for read in paths_in(place, cond) if read.optional}
    # A null element does not imply that the other elements are null.
    nulls = {
        one.source.path
        for one in found
        if ELEMENT not in one.source.path
        and any(value is None for _, value in one.literals)
    }
    return [
        replace(one, handles_absent=True)
        if one.source.fallbacks
        or one.source.path in nulls
        or (optional and is_at_or_below(one.source.path, optional))
        else one
        for one in found
    ]


def source_of(expr: Json, scope: Scope = ()) -> ValueSource | None:
    """Return the path whose value an expression has, None for any other expression."""
    fallbacks: list[Json] = []
    while expr["op"] == "default":
        fallbacks.append(constant_of(expr["fallback"]))
        expr = expr["arg"]
    if expr["op"] != "path":
        return None
    keys = keys_of(expr["at"])
    for bound, elements in reversed(scope):
        if keys[: len(bound)] == bound:
            if elements is None:
                return None
            keys = elements + keys[len(bound) :]
            break
    return ValueSource(any_index(keys), tuple(fallbacks))


def any_index(keys: Keys) -> Keys:
    """Return a path with every index replaced by ELEMENT."""
    for key in keys:
        if isinstance(key, int):
            return tuple(ELEMENT if isinstance(key, int) else key for key in keys)
    return keys


def _comparisons(
    place: str, expr: Json, scope: Scope, *, negated: bool, direct: bool
) -> Iterator[Comparison]:
    op = expr["op"]
    if op == "lit":
        return
    side, literals = _literals(place, expr)
    source = source_of(side, scope) if literals is not None else None
    if literals is not None and source is not None:
        yield Comparison(place, op, source, literals, negated, direct)
        return
    inner = scope
    if op in BINDING:
        inner = (*scope, (keys_of(expr["as"]), _elements_of(expr["in"], scope)))
    for at, part in parts_of(place, expr):
        is_array = inner is not scope and at == f"{place}.in"
        yield from _comparisons(
            at,
            part,
            scope if is_array else inner,
            negated=negated != (op == "not"),
            direct=direct and op in _LOGICAL and not is_array,
        )


def _elements_of(array: Json, scope: Scope) -> Keys | None:
    """Return the path of an array's elements, None if they may come from elsewhere."""
    while array["op"] in ("filter", "sort_by"):
        array = array["in"]
    source = source_of(array, scope)
    if source is None or any(fallback != [] for fallback in source.fallbacks):
        return None
    return (*source.path, ELEMENT)


def _literals(
    place: str, expr: Json
) -> tuple[Json, tuple[tuple[str, Json], ...] | None]:
    """Return the operand of a comparison and its literals with their places."""
    if expr["op"] == "in" and expr["haystack"]["op"] == "lit":
        values = expr["haystack"]["value"]
        if isinstance(values, list):
            at = f"{place}.haystack.value"
            pairs = tuple((f"{at}[{n}]", value) for n, value in enumerate(values))
            return expr["needle"], pairs
    elif expr["op"] in ("eq", "ne"):
        for side, other in (("rhs", "lhs"), ("lhs", "rhs")):
            if expr[side]["op"] == "lit":
                return expr[other], ((f"{place}.{side}.value", expr[side]["value"]),)
    return None, None
