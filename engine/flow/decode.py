"""Reading the strict tagged objects that programs are made of.

Every field is required unless it is listed as optional, no other is allowed, and a
refusal names the place, the rule and the nearest valid spelling.
"""

import difflib
from collections.abc import Iterable, Mapping

from engine.flow.errors import FlowError, parse_error
from engine.flow.json_text import Json, find_fault
from engine.flow.path import Path, parse_path


def require_json(value: Json) -> None:
    """Raises ParseError unless `value` is JSON of at most 127 nested containers."""
    fault = find_fault(value)
    if fault is not None:
        raise parse_error(*fault)


def read_tag(
    value: Json,
    place: str,
    tag: str,
    fields: Mapping[str, tuple[str, ...]],
    optional: frozenset[str] = frozenset(),
) -> str:
    """Returns the tag of an object whose fields are exactly those of that tag.

    `fields` maps each known tag to its field names; `optional` ones may be absent.
    Raises ParseError.
    """
    if not isinstance(value, dict):
        raise parse_error(place, f"expected an object with '{tag}', got {_kind(value)}")
    name = value.get(tag)
    if name is None:
        raise parse_error(place, f"missing field '{tag}'{_near(tag, value)}")
    if not isinstance(name, str) or name not in fields:
        hint = suggestion(str(name), fields)
        raise parse_error(f"{place}.{tag}", f"unknown {tag} {name!r}{hint}")
    expected = fields[name]
    for key in value:
        if key != tag and key not in expected:
            hint = suggestion(key, expected)
            raise parse_error(place, f"unknown field {key!r} of {tag} '{name}'{hint}")
    for key in expected:
        if key not in value and key not in optional:
            raise parse_error(place, f"missing field '{key}' of {tag} '{name}'")
    return name


def read_string(value: Json, place: str) -> str:
    """Returns a string; raises ParseError."""
    if not isinstance(value, str):
        raise parse_error(place, f"expected a string, got {_kind(value)}")
    return value


def read_array(value: Json, place: str) -> list[Json]:
    """Returns an array; raises ParseError."""
    if not isinstance(value, list):
        raise parse_error(place, f"expected an array, got {_kind(value)}")
    return value


def read_path(value: Json, place: str) -> Path:
    """Returns the path of a path text; raises ParseError where it is malformed."""
    text = read_string(value, place)
    try:
        return parse_path(text)
    except FlowError as error:
        raise parse_error(place, str(error)) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` or the list of what is known."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(choices)}" if choices else ""


def _near(tag: str, value: dict[str, Json]) -> str:
    near = difflib.get_close_matches(tag, value, n=1)
    return f"; did you mean it by '{near[0]}'?" if near else ""


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "a string"),
    )
    for types, name in names:
        if isinstance(value, types):
            return name
    return "an array" if isinstance(value, list) else "an object"
