"""The comparisons inside a condition, with the paths whose values they compare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from engine.blueprint.flow_walk import (
    UNKNOWN,
    Keys,
    constant_of,
    keys_of,
    parts_of,
    paths_in,
)
from engine.flow.json_text import Json

ELEMENT: Final = 2**63
"""Stands in a path for any index: what is known of one element is known of all."""
# What a quantifier binds, and where its elements are; None where nothing is known.
Scope: TypeAlias = tuple[tuple[Keys, Keys | None], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A path an expression takes its value from, and what stands in where it is absent.

    `fallbacks` has UNKNOWN for a value that depends on the run.
    """

    path: Keys
    fallbacks: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A value at a path compared with literals.

    `literals` are the places of the `values`. `op` is eq, ne or in; `negated` says that
    it stands below an odd number of `not`. `asked` tells that the condition allows for
    the path's being absent or null, `direct` that the condition follows from it and
    others like it.
    """

    place: str
    source: Source
    values: tuple[Json, ...]
    literals: tuple[str, ...]
    op: str
    negated: bool
    asked: bool
    direct: bool


def comparisons_in(place: str, cond: Json) -> list[Comparison]:
    """Returns the comparisons of a condition, in the order of the document."""
    asked = frozenset(read.keys for read in paths_in(place, cond) if read.asked)
    found = list(_comparisons(place, cond, _Where(asked)))
    nulls = {one.source.path for one in found if any(v is None for v in one.values)}
    # One element that is null says nothing of the others.
    nulls = {path for path in nulls if ELEMENT not in path}
    if not nulls:
        return found
    return [replace(one, asked=one.asked or one.source.path in nulls) for one in found]


def source_of(expr: Json, scope: Scope = ()) -> Source | None:
    """Returns the one path whose value an expression has, if there is such a path."""
    fallbacks: list[Json] = []
    while expr["op"] == "default":
        fallbacks.append(constant_of(expr["fallback"]))
        expr = expr["arg"]
    if expr["op"] != "path":
        return None
    keys = _unbound(keys_of(expr["at"]), scope)
    return None if keys is None else Source(keys, tuple(fallbacks))


def any_index(keys: Keys) -> Keys:
    """Returns a path with every index replaced by the one that stands for all."""
    return tuple(ELEMENT if isinstance(key, int) else key for key in keys)


def values_at(value: Json, keys: Sequence[str | int]) -> Iterator[Json]:
    """Yields what stands at a path of a value, nothing where it is absent."""
    for number, key in enumerate(keys):
        if key == ELEMENT and isinstance(value, list):
            for item in value:
                yield from values_at(item, keys[number + 1 :])
            return
        if not isinstance(value, dict) or key not in value:
            return
        value = value[key]
    yield value


def _unbound(keys: Keys, scope: Scope) -> Keys | None:
    for own, real in reversed(scope):
        if keys[: len(own)] == own:
            return None if real is None else real + any_index(keys[len(own) :])
    return any_index(keys)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where in a condition an expression stands.

    `direct` says that it decides the condition by itself, with others or negated.
    """

    asked: frozenset[Keys]
    scope: Scope = ()
    negated: bool = False
    direct: bool = True


def _comparisons(place: str, expr: Json, where: _Where) -> Iterator[Comparison]:
    match expr["op"]:
        case "lit":
            return
        case "eq" | "ne" | "in":
            found = _literals(place, expr)
            source = None if found is None else source_of(found[0], where.scope)
            if found is not None and source is not None:
                yield Comparison(
                    place,
                    source,
                    found[1],
                    found[2],
                    expr["op"],
                    where.negated,
                    bool(source.fallbacks) or _is_asked(source.path, where.asked),
                    where.direct,
                )
                return
    inner = where
    match expr["op"]:
        case "not":
            inner = replace(where, negated=not where.negated)
        case "any" | "all" | "filter" | "map":
            bound = (keys_of(expr["as"]), _elements_of(expr["in"], where.scope))
            direct = where.direct and expr["op"] in ("any", "all")
            inner = replace(where, scope=(*where.scope, bound), direct=direct)
            where = replace(where, direct=False)
        case "and" | "or":
            pass
        case _:
            inner = replace(where, direct=False)
    for at, part in parts_of(place, expr):
        yield from _comparisons(at, part, where if at == f"{place}.in" else inner)


def _elements_of(array: Json, scope: Scope) -> Keys | None:
    """Returns the path of an array's elements, None where they may be others."""
    while array["op"] == "filter":
        array = array["in"]
    source = source_of(array, scope)
    if source is None or any(fallback != [] for fallback in source.fallbacks):
        return None
    return (*source.path, ELEMENT)


def _literals(
    place: str, cond: Json
) -> tuple[Json, tuple[Json, ...], tuple[str, ...]] | None:
    """Returns the other side of literals, the values and their places."""
    if cond["op"] == "in":
        needle, haystack = cond["needle"], cond["haystack"]
        values = haystack["value"] if haystack["op"] == "lit" else None
        if not isinstance(values, list):
            return None
        at = f"{place}.haystack.value"
        return needle, tuple(values), tuple(f"{at}[{n}]" for n in range(len(values)))
    for side, other in (("rhs", "lhs"), ("lhs", "rhs")):
        if cond[side]["op"] == "lit":
            value = cond[side]["value"]
            return cond[other], (value,), (f"{place}.{side}.value",)
    return None


def _is_asked(path: Keys, asked: frozenset[Keys]) -> bool:
    return bool(asked) and any(path[:n] in asked for n in range(len(path) + 1))


def is_known(values: Sequence[Json]) -> bool:
    """Tells whether none of the values depends on the run."""
    return all(value is not UNKNOWN for value in values)
