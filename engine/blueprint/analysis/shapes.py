"""What is known of a value before a flow runs: its types, its keys, its elements.

A shape holds what is possible, so only what no value of a shape has is surely absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from engine.blueprint.analysis.flow_walk import Keys
from engine.flow.json_text import Json
from engine.flow.values import type_name, with_article

TYPES: Final = frozenset({"null", "boolean", "number", "string", "array", "object"})
# Of a larger object or array nothing is known, so that a shape stays small.
_MOST_PARTS: Final = 200


@dataclass(frozen=True, slots=True)
class Shape:
    """The possible types of a value; without any there is no value.

    `keys` are those that an object may have; with `open` it may have others. `items` is
    the shape of an array's elements, None if it is unknown. A `given` value is the
    document's, and the launch may replace it.
    """

    types: frozenset[str]
    keys: Mapping[str, "Shape"]
    open: bool = False
    items: "Shape | None" = None
    given: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the value is there and can't be of every type."""
        return bool(self.types) and self.types != TYPES


NOTHING: Final = Shape(frozenset(), {})
ANY: Final = Shape(TYPES, {}, open=True)
ANY_OBJECT: Final = Shape(frozenset({"object"}), {}, open=True)


def types_text(shape: Shape) -> str:
    """Return the possible types of a value in words."""
    return " or ".join(
        name if name == "null" else with_article(name) for name in sorted(shape.types)
    )


def of_type(name: str) -> Shape:
    """Return the shape of all values of a type."""
    return of_types(frozenset({name})) if name in TYPES else ANY


def of_types(names: frozenset[str]) -> Shape:
    """Return the shape of all values of some types."""
    return ANY if names == TYPES else Shape(names, {}, open=True)


def array_of(items: Shape | None) -> Shape:
    """Return the shape of an array with these elements."""
    return Shape(frozenset({"array"}), {}, items=items)


def object_of(keys: Mapping[str, Shape], *, given: bool = False) -> Shape:
    """Return the shape of an object with these keys; a given one may have others."""
    few = len(keys) <= _MOST_PARTS
    return Shape(
        frozenset({"object"}),
        keys if few else {},
        open=given or not few,
        given=given,
    )


def open_object(keys: Mapping[str, Shape]) -> Shape:
    """Return the shape of an object with these keys, which may have others."""
    return replace(object_of(keys), open=True)


def shape_of_value(value: Json, *, given: bool = False) -> Shape:
    """Return the shape of a JSON value; a given null stands for any value."""
    if value is None and given:
        return ANY
    if isinstance(value, dict):
        few = islice(value.items(), _MOST_PARTS + 1)
        keys = {key: shape_of_value(part, given=given) for key, part in few}
        return object_of(keys, given=given)
    if isinstance(value, list):
        parts = [
            shape_of_value(part, given=given) for part in islice(value, _MOST_PARTS)
        ]
        items = either(*parts) if len(value) <= _MOST_PARTS else None
        return replace(array_of(items), given=given)
    return Shape(frozenset({type_name(value)}), {}, given=given)


def either(*shapes: Shape) -> Shape:
    """Return the shape of what has one of these shapes."""
    found = NOTHING
    for shape in shapes:
        found = _joined(found, shape)
    return found


def _joined(one: Shape, other: Shape) -> Shape:
    if one is other or not other.types:
        return one
    if not one.types:
        return other
    if ANY in (one, other):
        return ANY
    names = one.keys.keys() | other.keys.keys()
    keys = {
        name: _joined(one.keys.get(name, NOTHING), other.keys.get(name, NOTHING))
        for name in names
    }
    arrays = [shape.items for shape in (one, other) if "array" in shape.types]
    is_known = len(names) <= _MOST_PARTS
    return Shape(
        one.types | other.types,
        keys if is_known else {},
        open=one.open or other.open or not is_known,
        items=None if None in arrays else either(*filter(None, arrays)),
        given=one.given or other.given,
    )


def part_of(shape: Shape, key: str | int) -> Shape:
    """Return the shape of what is at a key or index of a value, NOTHING if nothing is."""
    if not shape.types:
        return NOTHING
    if isinstance(key, int):
        known = shape.items if shape.types == {"array"} else None
        return known if known is not None and known.types else ANY
    if "object" not in shape.types:
        return ANY if shape.given else NOTHING
    return shape.keys.get(key, ANY if shape.open else NOTHING)


def at_path(shape: Shape, keys: Keys) -> Shape:
    """Return the shape of what is at a path below a value."""
    for key in keys:
        shape = part_of(shape, key)
    return shape


def with_part(shape: Shape, keys: Keys, value: Shape, *, new: Shape) -> Shape:
    """Return the shape after a write at a path; `new` is that of an object it creates."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        if shape.types != {"array"} or shape.items is None:
            return shape
        items = with_part(shape.items, rest, value, new=new)
        return replace(shape, items=either(shape.items, items))
    # A write creates the object, or fails where the value is none.
    before = shape if "object" in shape.types else new
    below = with_part(part_of(before, key), rest, value, new=object_of({}))
    changed = object_of({**before.keys, key: below}, given=before.given)
    return replace(changed, open=changed.open or before.open)
