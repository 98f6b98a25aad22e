"""The functions of the dialect swarm: pure, total, and bounded by the allowance.

Semantics: docs/guides/the-language.md, Functions. The rows of the grammar and the table
of the guide are made from FUNCTIONS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.flow.allowance import Allowance
from engine.flow.errors import path_not_found, type_error
from engine.flow.json_text import Json, JsonTextError, dump_compact, load_json
from engine.flow.offloaded import looked_into
from engine.flow.values import (
    TOO_DEEP,
    as_double,
    comparable,
    is_number,
    json_equal,
    not_finite,
    sorted_by,
    text_of,
    type_name,
    wrong_type,
)

ParameterType: TypeAlias = Literal[
    "any",
    "string",
    "integer",
    "array",
    "object",
    "string or array",
    "object or array",
    "string or integer",
    "string or number",
]
ResultType: TypeAlias = Literal["any", "boolean", "number", "string", "array", "object"]

_LARGEST_EXACT: Final = 2.0**53


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function: a `repeated` one takes one argument or more."""

    name: str
    type: ParameterType
    optional: bool = False
    repeated: bool = False

    def __str__(self) -> str:
        return f"{self.name}{'?' if self.optional else ''}{', …' * self.repeated}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function: its signature, what it gives, one line of description, how it runs.

    `run` takes the allowance and the values of the arguments, which have the types of the
    parameters; an integer is an int, whichever number was given.
    """

    name: str
    parameters: tuple[Parameter, ...]
    gives: ResultType
    text: str
    run: Callable[..., Json]

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return sum(not one.optional for one in self.parameters)

    @property
    def most(self) -> int | None:
        """The largest number of arguments, None if it is not bounded."""
        return None if self.parameters[-1].repeated else len(self.parameters)

    @property
    def signature(self) -> str:
        """The call as text: `slice(value, start, end?)`."""
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    def call(self, values: Sequence[Json], allowance: Allowance) -> Json:
        """Return the value for arguments of the right number; raises FlowError."""
        last = len(self.parameters) - 1
        checked = [
            _checked(self.name, self.parameters[min(number, last)], value)
            for number, value in enumerate(values)
        ]
        return self.run(allowance, *checked)


_TYPES: Final[Mapping[ParameterType, tuple[type, ...]]] = {
    "any": (object,),
    "string": (str,),
    "integer": (int, float),
    "array": (list,),
    "object": (dict,),
    "string or array": (str, list),
    "object or array": (dict, list),
    "string or integer": (str, int, float),
    "string or number": (str, int, float),
}


def _checked(op: str, parameter: Parameter, value: Json) -> Json:
    """Return an argument, an integral double as an integer; raises TypeError."""
    value = looked_into(value)
    expected = parameter.type
    fits = isinstance(value, _TYPES[expected])
    if fits and expected != "any":
        fits = not isinstance(value, bool)
        if isinstance(value, float) and "integer" in expected:
            fits = value.is_integer() and abs(value) <= _LARGEST_EXACT
            value = int(value) if fits else value
    if not fits:
        raise wrong_type(op, parameter.name, expected, value)
    return value


def _contains(allowance: Allowance, container: Json, item: Json) -> bool:
    if isinstance(container, str):
        if not isinstance(item, str):
            raise wrong_type("contains", "item", "string in a string", item)
        allowance.read("contains", container)
        return item in container
    allowance.visit("contains", len(container))
    return any(json_equal(item, one, allowance) for one in container)


def _starts_with(allowance: Allowance, text: str, prefix: str) -> bool:
    allowance.read("starts_with", prefix)
    return text.startswith(prefix)


def _ends_with(allowance: Allowance, text: str, suffix: str) -> bool:
    allowance.read("ends_with", suffix)
    return text.endswith(suffix)


def _lower(allowance: Allowance, text: str) -> str:
    allowance.write("lower", len(text))
    return text.lower()


def _upper(allowance: Allowance, text: str) -> str:
    allowance.write("upper", len(text))
    return text.upper()


def _trim(allowance: Allowance, text: str) -> str:
    allowance.write("trim", len(text))
    return text.strip()


def _split(allowance: Allowance, text: str, separator: str) -> Json:
    allowance.write("split", len(text))
    if not separator:
        allowance.visit("split", len(text))
        return list(text)
    allowance.visit("split", text.count(separator) + 1)
    return text.split(separator)


def _join(allowance: Allowance, items: list[Json], separator: str) -> str:
    allowance.visit("join", len(items))
    length = len(separator) * len(items)
    items = [looked_into(item) for item in items]
    for at, item in enumerate(items):
        if not isinstance(item, str):
            raise wrong_type("join", f"item {at}", "string", item)
        length += len(item)
    allowance.write("join", length)
    return separator.join(items)


def _replace(allowance: Allowance, text: str, old: str, new: str) -> str:
    if not old:
        raise type_error("replace", "old: expected string that is not empty")
    allowance.read("replace", text)
    length = len(text) + text.count(old) * (len(new) - len(old))
    allowance.write("replace", length)
    return text.replace(old, new)


def _min(allowance: Allowance, items: list[Json]) -> Json:
    return _extreme("min", min, items, allowance)


def _max(allowance: Allowance, items: list[Json]) -> Json:
    return _extreme("max", max, items, allowance)


def _extreme(
    op: str, choose: Callable[..., int], items: list[Json], allowance: Allowance
) -> Json:
    """Return the item that `min` or `max` chooses, the first of equal ones."""
    if not items:
        raise type_error(op, "items: expected array that is not empty")
    keys = comparable(op, items, allowance)
    return items[choose(range(len(items)), key=keys.__getitem__)]


def _sum(allowance: Allowance, items: list[Json]) -> float:
    allowance.visit("sum", len(items))
    total = 0.0
    # Not `sum`: Python 3.12 adds floats with another rounding than 3.11.
    for at, item in enumerate(items):
        if not is_number(item):
            raise wrong_type("sum", f"item {at}", "number", item)
        total += as_double(item)
    if total - total != 0.0:
        raise not_finite("sum", total)
    return total


def _sort(allowance: Allowance, items: list[Json]) -> Json:
    return sorted_by(items, comparable("sort", items, allowance))


def _unique(allowance: Allowance, items: list[Json]) -> Json:
    allowance.visit("unique", len(items))
    seen: dict[Json, Json] = {}
    try:
        for item in items:
            seen.setdefault(_hashable(item, allowance), item)
    except RecursionError:
        raise type_error("unique", TOO_DEEP) from None
    return list(seen.values())


def _hashable(value: Json, allowance: Allowance) -> Json:
    """Return a value that is equal for those JSON values that are equal."""
    value = looked_into(value)
    if isinstance(value, str):
        allowance.read("unique", value)
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        # True is 1 to Python.
        return ("boolean", value)
    if isinstance(value, list):
        allowance.visit("unique", 1 + len(value))
        return ("array", *[_hashable(item, allowance) for item in value])
    if isinstance(value, dict):
        allowance.visit("unique", 1)
        allowance.read_keys("unique", value)
        return frozenset((key, _hashable(value[key], allowance)) for key in value)
    # As text, whose hash is random in each process: equal hashes of numbers can be chosen.
    return ("number", repr(as_double(value) + 0.0))


def _keys(allowance: Allowance, value: dict[str, Json]) -> Json:
    allowance.read_keys("keys", value)
    return sorted(value)


def _values(allowance: Allowance, value: dict[str, Json]) -> Json:
    allowance.read_keys("values", value)
    return [value[key] for key in sorted(value)]


def _merge(allowance: Allowance, *objects: dict[str, Json]) -> Json:
    merged: dict[str, Json] = {}
    for one in objects:
        allowance.read_keys("merge", one)
        merged.update(one)
    return merged


def _slice(
    allowance: Allowance, value: Json, start: int, end: int | None = None
) -> Json:
    first, beyond, _ = slice(start, end).indices(len(value))
    length = max(0, beyond - first)
    if isinstance(value, str):
        allowance.write("slice", length)
    else:
        allowance.visit("slice", length)
    return value[first:beyond]


def _range(allowance: Allowance, start: int, end: int) -> Json:
    allowance.visit("range", max(0, end - start))
    return list(range(start, end))


def _to_string(allowance: Allowance, value: Json) -> str:
    return text_of("to_string", value, allowance)


def _to_number(allowance: Allowance, value: Json) -> Json:
    if not isinstance(value, str):
        return value
    allowance.write("to_number", len(value))
    text = value.strip()
    if text[:1] not in "-0123456789":
        return None
    try:
        number = load_json(text)
    except JsonTextError:
        return None
    return number if is_number(number) else None


def _type(allowance: Allowance, value: Json) -> str:
    return type_name(value)


def _get(allowance: Allowance, container: Json, key: str | int) -> Json:
    if isinstance(container, dict):
        if not isinstance(key, str):
            raise wrong_type("get", "key", "string for an object", key)
        allowance.read("get", key)
        if key in container:
            return container[key]
    else:
        if isinstance(key, str):
            raise wrong_type("get", "key", "integer for an array", key)
        if -len(container) <= key < len(container):
            return container[key]
    raise path_not_found(f"get(…, {dump_compact(key)})")


_ANY: Final = Parameter("value", "any")
_TEXT: Final = Parameter("text", "string")
_ITEMS: Final = Parameter("items", "array")
_OBJECT: Final = Parameter("object", "object")


def _string(name: str) -> Parameter:
    return Parameter(name, "string")


FUNCTIONS: Final[Mapping[str, Function]] = {
    one.name: one
    for one in (
        Function(
            "contains",
            (Parameter("container", "string or array"), Parameter("item", "any")),
            "boolean",
            "A string contains another, or an array an item that is `eq`.",
            _contains,
        ),
        Function(
            "starts_with", (_TEXT, _string("prefix")), "boolean",
            "A string starts with another.", _starts_with,
        ),
        Function(
            "ends_with", (_TEXT, _string("suffix")), "boolean",
            "A string ends with another.", _ends_with,
        ),
        Function("lower", (_TEXT,), "string", "The string in lower case.", _lower),
        Function("upper", (_TEXT,), "string", "The string in upper case.", _upper),
        Function(
            "trim", (_TEXT,), "string",
            "The string without white space at its ends.", _trim,
        ),
        Function(
            "split", (_TEXT, _string("separator")), "array",
            "The parts of a string; an empty separator splits it into characters.",
            _split,
        ),
        Function(
            "join", (_ITEMS, _string("separator")), "string",
            "One string of an array of strings.", _join,
        ),
        Function(
            "replace", (_TEXT, _string("old"), _string("new")), "string",
            "The string with every `old` replaced by `new`.", _replace,
        ),
        Function(
            "min", (_ITEMS,), "any",
            "The least of an array of numbers or of strings.", _min,
        ),
        Function(
            "max", (_ITEMS,), "any",
            "The greatest of an array of numbers or of strings.", _max,
        ),
        Function(
            "sum", (_ITEMS,), "number",
            "The sum of an array of numbers, always a float.", _sum,
        ),
        Function(
            "sort", (_ITEMS,), "array",
            "An array of numbers or of strings in ascending order.", _sort,
        ),
        Function(
            "unique", (_ITEMS,), "array",
            "The array without the items that are `eq` to an earlier one.", _unique,
        ),
        Function(
            "keys", (_OBJECT,), "array", "The keys of an object, sorted.", _keys
        ),
        Function(
            "values", (_OBJECT,), "array",
            "The values of an object in the order of `keys`.", _values,
        ),
        Function(
            "merge", (Parameter("object", "object", repeated=True),), "object",
            "One object of all; of a repeated key the last value.", _merge,
        ),
        Function(
            "slice",
            (
                Parameter("value", "string or array"),
                Parameter("start", "integer"),
                Parameter("end", "integer", optional=True),
            ),
            "any",
            "The part from `start` to before `end`; negative numbers count from the end.",
            _slice,
        ),
        Function(
            "range",
            (Parameter("start", "integer"), Parameter("end", "integer")),
            "array",
            "The integers from `start` to before `end`.",
            _range,
        ),
        Function(
            "to_string", (_ANY,), "string",
            "A string as it is, any other value as JSON.", _to_string,
        ),
        Function(
            "to_number", (Parameter("value", "string or number"),), "any",
            "The number that a string writes, null if it writes none.", _to_number,
        ),
        Function(
            "type", (_ANY,), "string",
            "`null`, `boolean`, `number`, `string`, `array` or `object`.", _type,
        ),
        Function(
            "get",
            (
                Parameter("container", "object or array"),
                Parameter("key", "string or integer"),
            ),
            "any",
            "The value at a key or an index that is computed.",
            _get,
        ),
    )
}  # fmt: skip
"""The functions by name; in the tree form `op` is the name."""
