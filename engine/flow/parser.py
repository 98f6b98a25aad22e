"""Reads stored programs from JSON, by the tables of the grammar.

Programs are strict tagged objects: every field is required unless it is optional, no
other is allowed, and an error names the place, the rule and the nearest valid spelling.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, assert_never

from engine.flow.errors import FlowError, parse_error, place_step
from engine.flow.expr import Expr
from engine.flow.grammar import (
    CHOICES,
    DIALECTS,
    LONGEST_NAME,
    NAME,
    NODE_WORDS,
    OP_WORDS,
    Dialect,
    Field,
    Vocabulary,
    Word,
)
from engine.flow.json_text import Json, dump_compact, find_fault
from engine.flow.makers import EXPR_MAKERS
from engine.flow.nodes import NODE_MAKERS, Join, Node
from engine.flow.path import Path, parse_path, read_path
from engine.flow.spelling import closest, hint_at
from engine.flow.values import type_name, with_article

LARGEST_INTEGER: Final = 2**32 - 1
_NAME: Final = re.compile(NAME)
_NEEDS_DIALECT: Final = (
    "; it belongs to the dialect swarm:"
    ' add "dialect": "swarm" to the Blueprint to use it'
)


def read_node(value: Json, dialect: Dialect = "flow.ir") -> Node:
    """Read a stored program, which `Node.to_json` wrote; raises ParseError."""
    return StoredReader(check_program(value, dialect)).node(value, "$")


def read_expr(value: Json, dialect: Dialect = "flow.ir") -> Expr:
    """Read a stored expression, which `Expr.to_json` wrote; raises ParseError."""
    return StoredReader(check_program(value, dialect)).expr(value, "$")


def check_program(value: Json, dialect: str) -> Dialect:
    """Return the dialect; raises ParseError if it is unknown or `value` is not JSON."""
    fault = find_fault(value)
    if fault is not None:
        raise parse_error(*fault)
    for known in DIALECTS:
        if dialect == known:
            return known
    hint = _suggest(str(dialect), DIALECTS)
    raise parse_error("$", f"unknown dialect {dialect!r}{hint}")


class StoredReader:
    """Reads trees of objects: what the compiler writes and workers read."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._nodes = NODE_WORDS[dialect]

    def node(self, value: Json, place: str) -> Node:
        """Return the node that an object stands for."""
        word = self._word(value, place, self._nodes)
        return NODE_MAKERS[word.name](*self._fields(word, value, place))

    def expr(self, value: Json, place: str) -> Expr:
        """Return the expression that an object stands for."""
        word = self._word(value, place, OP_WORDS[self._dialect])
        return EXPR_MAKERS[word.name](*self._fields(word, value, place))

    def path(self, value: Json, place: str) -> Path:
        """Return the path of a text."""
        return read_path_text(value, place, self._dialect, read_path)

    def _word(self, value: Json, place: str, vocabulary: Vocabulary) -> Word:
        """Return the word of an object that has exactly its fields."""
        return read_tag(value, place, vocabulary)

    def _meet(self, fault: FlowError) -> None:
        """Stop at a fault of a part; a reader that lists faults goes on."""
        raise fault

    def _fields(self, word: Word, value: Json, place: str) -> list[Any]:
        """Return the values of a word's fields, None for absent ones."""
        found: list[Any] = []
        for field in word.fields:
            part = value.get(field.name)
            if part is None and (field.nullable or field.name not in value):
                found.append(None)
                continue
            at = f"{place}.{field.name}"
            if field.needs and value.get(field.needs) is None:
                raise parse_error(at, f"'{field.name}' needs '{field.needs}' beside it")
            try:
                found.append(self._field(field, part, at))
            except FlowError as fault:
                self._meet(fault)
                found.append(None)
        return found

    def _field(self, field: Field, part: Json, at: str) -> Any:
        match field.type:
            case "expression" | "path expression" | "node":
                return self._part(field, part, at)
            case "expressions" | "nodes":
                return self._parts(field, part, at)
            case "object of expressions":
                return self._entries(part, at)
            case "path" | "path below $":
                path = self.path(part, at)
                return path if field.type == "path" else _checked_below(path, at)
            case "text" | "name":
                return (read_string if field.type == "text" else _read_name)(part, at)
            case "JSON":
                return part
            case "join":
                return Join(_read_choice(part, at, tuple(Join), "join"))
            case "integer" | "positive integer":
                return _read_integer(part, at, int(field.type != "integer"))
            case "`continue` or `fail`" | "`text` or `object`":
                return _read_choice(part, at, CHOICES[field.type])
            case _:
                assert_never(field.type)

    def _part(self, field: Field, value: Json, place: str) -> Node | Expr:
        """Return a node or an expression; raises ParseError."""
        if field.type in ("node", "nodes"):
            return self.node(value, place)
        return self.expr(value, place)

    def _parts(self, field: Field, value: Json, place: str) -> tuple[Any, ...]:
        """Return the nodes or expressions of a field; raises ParseError."""
        parts = _read_array(value, place)
        if len(parts) < field.least or len(parts) > (field.most or len(parts)):
            rule = f"expected the arguments of {field.takes}, got {len(parts)}"
            raise parse_error(place, rule)
        found: list[Node | Expr] = []
        for n, one in enumerate(parts):
            try:
                found.append(self._part(field, one, f"{place}[{n}]"))
            except FlowError as fault:
                self._meet(fault)
        return tuple(found)

    def _entries(self, value: Json, place: str) -> dict[str, Expr]:
        """Return the expressions of an object by its keys; raises ParseError."""
        found: dict[str, Expr] = {}
        for key, one in read_object(value, place).items():
            try:
                found[key] = self.expr(one, place + place_step(key))
            except FlowError as fault:
                self._meet(fault)
        return found


def read_tag(value: Json, place: str, vocabulary: Vocabulary) -> Word:
    """Return the word of an object that has exactly the fields of that word.

    Raises ParseError, with a hint where a word or field belongs to the dialect `swarm`.
    """
    word = read_word(value, place, vocabulary)
    if value.keys() - word.names != {vocabulary.tag} or word.required - value.keys():
        for fault in field_faults(word, value, place, vocabulary):
            raise fault
    return word


def read_word(value: Json, place: str, vocabulary: Vocabulary) -> Word:
    """Return the word of an object with any fields; raises ParseError."""
    tag, words = vocabulary.tag, vocabulary.words
    if not isinstance(value, dict):
        raise parse_error(place, f"expected an object with '{tag}', got {_kind(value)}")
    name = value.get(tag)
    if name is None:
        misspelt = closest(tag, value)
        remedy = f"; rename {misspelt!r} to '{tag}'" if misspelt else ""
        raise parse_error(place, f"missing field '{tag}'{remedy}")
    if not isinstance(name, str) or name not in words:
        meant = vocabulary.near.get(str(name))
        hint = (
            f"; did you mean '{meant}'?"
            if meant in words
            else _suggest(str(name), words)
        )
        if tag == "op" and "object" in words and hint.startswith("; known"):
            hint = f"; data with a key 'op' is written {{object: {{…}}}}{hint}"
        if isinstance(name, str) and name in vocabulary.all_words:
            hint = _NEEDS_DIALECT
        raise parse_error(f"{place}.{tag}", f"unknown {tag} {name!r}{hint}")
    return words[name]


def field_faults(
    word: Word, value: dict[str, Json], place: str, vocabulary: Vocabulary
) -> Iterator[FlowError]:
    """Yield a ParseError for each field of an object that is unknown or missing.

    A missing field that an unknown one seems to be meant for is no fault of its own.
    """
    tag, name, hints = vocabulary.tag, word.name, ""
    expected = {field.name: field for field in word.fields}
    for key in value:
        if key != tag and key not in expected:
            hint = (
                f"; {word.near[key]}" if key in word.near else _suggest(key, expected)
            )
            if any(field.name == key for field in vocabulary.all_words[name].fields):
                hint = _NEEDS_DIALECT
            hints += hint
            yield parse_error(place, f"unknown field {key!r} of {tag} '{name}'{hint}")
    for key, field in expected.items():
        if key not in value and not field.optional and f"mean '{key}'" not in hints:
            hint = _remedy(field, texts=vocabulary.texts)
            yield parse_error(place, f"missing field '{key}' of {tag} '{name}'{hint}")


def _remedy(field: Field, *, texts: bool) -> str:
    """Return what to write for an absent field that gets something, as a hint."""
    if not field.gets:
        return ""
    path = "$.NAME" if texts else '{"op": "path", "at": "$.NAME"}'
    written = f"{field.name}: {path}" if texts else f'"{field.name}": {path}'
    return f"; write '{written}', the path that gets {field.gets}"


def read_string(value: Json, place: str) -> str:
    """Return a string; raises ParseError."""
    if not isinstance(value, str):
        raise parse_error(place, f"expected a string, got {_kind(value)}")
    return value


def _read_name(value: Json, place: str) -> str:
    """Return the name of a step; raises ParseError."""
    name = read_string(value, place)
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        rule = (
            f"a name is one line of 1 to {LONGEST_NAME} characters without '[' and ']'"
            " that does not begin with '/'"
        )
        raise parse_error(place, rule)
    return name


def read_object(value: Json, place: str) -> dict[str, Json]:
    """Return an object; raises ParseError."""
    if not isinstance(value, dict):
        raise parse_error(place, f"expected an object, got {_kind(value)}")
    return value


def _read_array(value: Json, place: str) -> list[Json]:
    """Return an array; raises ParseError."""
    if not isinstance(value, list):
        raise parse_error(place, f"expected an array, got {_kind(value)}")
    return value


def read_path_text(
    value: Json, place: str, dialect: Dialect, read: Callable[[str, Dialect], Path]
) -> Path:
    """Return the path of a path text; raises ParseError where it is malformed."""
    text = read_string(value, place)
    try:
        return read(text, dialect)
    except FlowError as error:
        hint = _NEEDS_DIALECT if is_path(text, "swarm") else ""
        raise parse_error(place, f"{error}{hint}") from None


def _checked_below(path: Path, place: str) -> Path:
    """Return a path other than that of the whole Ctx; raises ParseError."""
    if not path.keys:
        rule = f"{str(path)!r} is the whole Ctx, which can't be removed"
        hint = "name a path below it, such as '$.draft', or write {} to it with a let"
        raise parse_error(place, f"{rule}; {hint}")
    return path


def _read_integer(value: Json, place: str, least: int = 0) -> int:
    """Return an integer of 32 bits, `least` or more; raises ParseError."""
    # `type` and not isinstance: true is an int to Python.
    if type(value) is not int or not least <= value <= LARGEST_INTEGER:
        got = dump_compact(value)
        rule = f"expected an integer {least} to {LARGEST_INTEGER}, got {got}"
        raise parse_error(place, rule)
    return value


def _read_choice(
    value: Json, place: str, choices: Collection[str], what: str = "word"
) -> str:
    """Return one of a few words; raises ParseError."""
    text = read_string(value, place)
    if text not in choices:
        hint = _suggest(text, choices)
        raise parse_error(place, f"unknown {what} {text!r}{hint}")
    return text


def is_path(text: str, dialect: Dialect) -> bool:
    """Return whether a text is a path."""
    try:
        parse_path(text, dialect)
    except FlowError:
        return False
    return True


def _suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` or the list of known words."""
    choices = sorted(known)
    hint = hint_at(word, choices)
    if not hint and choices:
        hint = f"known: {', '.join(choices)}"
    return f"; {hint}" if hint else ""


def _kind(value: Json) -> str:
    """Return the type of a value with its article."""
    name = type_name(value)
    return name if value is None else with_article(name)
