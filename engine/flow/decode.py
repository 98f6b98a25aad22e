"""Reading the strict tagged objects that programs are made of.

Every field is required unless it is listed as optional, no other is allowed, and a
refusal names the place, the rule and the nearest valid spelling.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from engine.flow.errors import FlowError, parse_error
from engine.flow.grammar import DIALECTS, Dialect, Vocabulary
from engine.flow.json_text import Json, dump_compact, find_fault
from engine.flow.path import Path, parse_path

TO_THE_DIALECT: Final = (
    "; it belongs to the dialect swarm:"
    ' add "dialect": "swarm" to the Blueprint to use it'
)
LARGEST_INTEGER: Final = 2**32 - 1


def require_json(value: Json) -> None:
    """Raises ParseError unless `value` is JSON of at most 127 nested containers."""
    fault = find_fault(value)
    if fault is not None:
        raise parse_error(*fault)


def read_tag(value: Json, place: str, words: Vocabulary) -> str:
    """Returns the tag of an object whose fields are exactly those of that tag.

    Raises ParseError, which says so where a word belongs to the dialect `swarm`.
    """
    tag, fields = words.tag, words.fields
    if not isinstance(value, dict):
        raise parse_error(place, f"expected an object with '{tag}', got {_kind(value)}")
    name = value.get(tag)
    if name is None:
        raise parse_error(place, f"missing field '{tag}'{_near(tag, value)}")
    if not isinstance(name, str) or name not in fields:
        hint = suggestion(str(name), fields)
        if isinstance(name, str) and name in words.others:
            hint = TO_THE_DIALECT
        raise parse_error(f"{place}.{tag}", f"unknown {tag} {name!r}{hint}")
    expected, optional = fields[name], words.optional[name]
    for key in value:
        if key != tag and key not in expected:
            hint = suggestion(key, expected)
            if key in words.other_fields[name]:
                hint = TO_THE_DIALECT
            raise parse_error(place, f"unknown field {key!r} of {tag} '{name}'{hint}")
    for key in expected:
        if key not in value and key not in optional:
            raise parse_error(place, f"missing field '{key}' of {tag} '{name}'")
    return name


def read_dialect(dialect: str) -> Dialect:
    """Returns the dialect of that name; raises ParseError."""
    for known in DIALECTS:
        if dialect == known:
            return known
    hint = suggestion(str(dialect), DIALECTS)
    raise parse_error("$", f"unknown dialect {dialect!r}{hint}")


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


def read_path(value: Json, place: str, dialect: Dialect) -> Path:
    """Returns the path of a path text; raises ParseError where it is malformed."""
    text = read_string(value, place)
    try:
        return parse_path(text, dialect)
    except FlowError as error:
        hint = TO_THE_DIALECT if _is_path(text, "swarm") else ""
        raise parse_error(place, f"{error}{hint}") from None


def read_integer(value: Json, place: str, least: int = 0) -> int:
    """Returns an integer of 32 bits from `least` on; raises ParseError."""
    # `type` and not isinstance: true is an int to Python.
    if type(value) is not int or not least <= value <= LARGEST_INTEGER:
        got = dump_compact(value)
        rule = f"expected an integer {least} to {LARGEST_INTEGER}, got {got}"
        raise parse_error(place, rule)
    return value


def read_choice(value: Json, place: str, choices: Sequence[str]) -> str:
    """Returns one of a few words; raises ParseError."""
    text = read_string(value, place)
    if text not in choices:
        raise parse_error(place, f"unknown word {text!r}{suggestion(text, choices)}")
    return text


def _is_path(text: str, dialect: Dialect) -> bool:
    try:
        parse_path(text, dialect)
    except FlowError:
        return False
    return True


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
