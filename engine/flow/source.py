"""Reads programs as their authors write them, in either dialect.

In the dialect `swarm` an expression is a tree of objects, a text, or a value that
contains expressions; what is read is always a tree in its normal form.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from engine.flow.errors import FlowError, TextFault, parse_error, place_step
from engine.flow.expr import Expr, Lit, PathExpr
from engine.flow.grammar import (
    COLLECTING,
    NODE_WORDS,
    OP_WORDS,
    SOURCE_NODES,
    Dialect,
    Field,
    Vocabulary,
    Word,
)
from engine.flow.json_text import Json
from engine.flow.makers import EXPR_MAKERS
from engine.flow.nodes import Fanout, Node
from engine.flow.origins import Origins
from engine.flow.parser import (
    StoredReader,
    check_program,
    field_faults,
    is_path,
    read_object,
    read_path_text,
    read_string,
    read_tag,
    read_word,
)
from engine.flow.path import LONGEST_CACHED, Path, parse_path
from engine.flow.text_parser import Marks, parse_template, parse_text

# What an object without `op` stands for that has one of these keys alone.
_FORMS: Final = ("lit", "template", "object")


def parse_node(
    value: Json, dialect: Dialect = "flow.ir", origins: Origins | None = None
) -> Node:
    """Read a program as an author writes it; raises ParseError.

    `origins` gets the place of each expression that has another one in the program;
    without it, equal texts may be one expression.
    """
    return _reader(value, dialect, origins).node(value, "$")


def parse_expr(
    value: Json,
    dialect: Dialect = "flow.ir",
    origins: Origins | None = None,
    *,
    dollar_keys: tuple[str, ...] = (),
) -> Expr:
    """Read an expression as an author writes it, like `parse_node`.

    In the dialect `swarm` an object that is the whole expression may have `dollar_keys`.
    """
    reader = _reader(value, dialect, origins)
    if isinstance(reader, _SwarmReader):
        return reader.expr(value, "$", dollar_keys)
    return reader.expr(value, "$")


def find_faults(value: Json, dialect: Dialect = "flow.ir") -> list[FlowError]:
    """Return the faults of a program that `parse_node` refuses, at least one.

    A part with a fault of its own is not read further, but those beside it are. Raises
    ParseError for a value that is not JSON.
    """
    is_ir = check_program(value, dialect) == "flow.ir"
    lister = _FlowIrFaults("flow.ir") if is_ir else _SwarmFaults(None)
    return lister.faults_of(value)


def in_source_words(
    node: Json, place: str = "$", note: Callable[[str, str], None] = lambda *_: None
) -> Json:
    """Return a node of the dialect `swarm` as it is written today.

    Fields get their new names, and a fanout without `select` says that it collects whole
    documents. `note` gets the place and a text for each change. What is no node stays as
    it is: reading reports it.
    """
    word = None
    if isinstance(node, dict):
        word = NODE_WORDS["swarm"].words.get(str(node.get("kind")))
    if word is None:
        return node
    fields = {field.name: field for field in word.fields}
    written: dict[str, Json] = {}
    for key, part in node.items():
        field, at = fields.get(key), f"{place}.{key}"
        name = key
        if field is not None and field.source and field.source not in node:
            name = field.source
            note(at, f"'{key}' is now '{name}'")
        if field is not None and field.type == "node":
            part = in_source_words(part, at, note)
        elif field is not None and field.type == "nodes" and isinstance(part, list):
            parts = enumerate(part)
            part = [in_source_words(one, f"{at}[{n}]", note) for n, one in parts]
        written[name] = part
    if node.get("join") in COLLECTING and "select" in fields and "select" not in node:
        written["select"] = "$"
        note(place, "'select: $' says that whole documents are collected")
    return written


def _reader(value: Json, dialect: Dialect, origins: Origins | None) -> StoredReader:
    if check_program(value, dialect) == "flow.ir":
        return _FlowIrReader("flow.ir")
    return _SwarmReader(origins)


class _FlowIrReader(StoredReader):
    """Reads what authors write in `flow.ir`."""

    def expr(self, value: Json, place: str) -> Expr:
        """Return the expression that a value stands for."""
        if place != "$" and _is_numbered_literal(value):
            return Lit(value[1])
        return super().expr(value, place)


class _SwarmReader(StoredReader):
    """Reads what authors write in the dialect `swarm`: trees, texts and plain values."""

    def __init__(self, origins: Origins | None) -> None:
        super().__init__("swarm")
        self._nodes = SOURCE_NODES
        self._origins = origins

    def node(self, value: Json, place: str) -> Node:
        """Return the node that an object stands for."""
        node = super().node(value, place)
        if (
            isinstance(node, Fanout)
            # A faulty one is a finding of its own.
            and value.get("select") is None
            and node.join in COLLECTING
        ):
            rule = f"missing field 'select' of a fanout with join '{node.join}'"
            hint = (
                "write what is collected of a lane, such as 'select: $.draft';"
                " 'select: $' collects whole documents"
            )
            raise parse_error(place, f"{rule}; {hint}")
        return node

    def path(self, value: Json, place: str) -> Path:
        """Return the path of a text, in the spelling of today."""
        return read_path_text(value, place, "swarm", parse_path)

    def expr(self, value: Json, place: str, dollar_keys: tuple[str, ...] = ()) -> Expr:
        """Return the expression that a value stands for, which is not null."""
        if value is None:
            rule = "expected an expression, got null; write {lit: null}"
            raise parse_error(place, rule)
        return self._value(value, place, dollar_keys)

    def _part(self, field: Field, value: Json, place: str) -> Node | Expr:
        if field.type == "path expression" and isinstance(value, str):
            return self._noted(PathExpr(self.path(value, place)), place)
        if field.type == "path expression":
            return self._tree(value, place)
        if field.type == "expression":
            return self.expr(value, place, field.dollar_keys)
        return super()._part(field, value, place)

    def _entries(self, value: Json, place: str) -> dict[str, Expr]:
        return self._checked_entries(value, place, ())

    def _value(
        self, value: Json, place: str, dollar_keys: tuple[str, ...] = ()
    ) -> Expr:
        """Return the expression that a value stands for."""
        match value:
            case str():
                return self._text(value, place, dollar_keys)
            case list():
                items: list[Expr] = []
                for n, one in enumerate(value):
                    try:
                        items.append(self._value(one, f"{place}[{n}]"))
                    except FlowError as fault:
                        self._meet(fault)
                return self._noted(EXPR_MAKERS["array"](tuple(items)), place)
            case {"op": "object"} if dollar_keys:
                read_tag(value, place, OP_WORDS["swarm"])
                at = f"{place}.entries"
                return self._object(value["entries"], at, dollar_keys, place)
            case {"op": _}:
                return self._tree(value, place)
            case dict():
                return self._mapping(value, place, dollar_keys)
            case _:
                return self._noted(Lit(value), place)

    def _tree(self, value: Json, place: str) -> Expr:
        """Return the expression of an object with `op`."""
        return self._noted(super().expr(value, place), place)

    def _mapping(
        self, value: dict[str, Json], place: str, dollar_keys: tuple[str, ...]
    ) -> Expr:
        """Return the expression that an object without `op` stands for."""
        form = next((key for key in value if key in _FORMS), None)
        if form is None:
            return self._object(value, place, dollar_keys, place)
        if len(value) > 1:
            rule = f"'{form}' stands alone; data with such a key is {{object: {{…}}}}"
            raise parse_error(place, rule)
        at = f"{place}.{form}"
        if form == "lit":
            return self._noted(Lit(value[form]), place)
        if form == "object":
            return self._object(value[form], at, dollar_keys, place)
        marks: Marks = []
        text = read_string(value[form], at)
        try:
            expr = parse_template(text, marks)
        except TextFault as fault:
            raise _text_error(at, text, fault) from None
        return self._from_text(expr, marks, at)

    def _object(
        self, entries: Json, at: str, dollar_keys: tuple[str, ...], place: str
    ) -> Expr:
        """Return an object of the entries at `at`; the object itself is at `place`."""
        read = self._checked_entries(entries, at, dollar_keys)
        return self._noted(EXPR_MAKERS["object"](read), place)

    def _checked_entries(
        self, value: Json, place: str, dollar_keys: tuple[str, ...]
    ) -> dict[str, Expr]:
        entries = read_object(value, place)
        for key in entries:
            if key.startswith("$") and key not in dollar_keys:
                rule = f"a key does not begin with '$', got {key!r}{_meant(key)}"
                raise parse_error(place, rule)
        found: dict[str, Expr] = {}
        for key, one in entries.items():
            try:
                found[key] = self._value(one, place + place_step(key))
            except FlowError as fault:
                self._meet(fault)
        return found

    def _text(self, text: str, place: str, dollar_keys: tuple[str, ...]) -> Expr:
        marks: Marks = []
        try:
            # An expression that is at several places has no origin of its own.
            if self._origins is None and len(text) <= LONGEST_CACHED:
                return _cached_text(text, dollar_keys)
            expr = parse_text(text, marks, dollar_keys=dollar_keys)
        except TextFault as fault:
            raise _text_error(place, text, fault) from None
        return self._from_text(expr, marks, place)

    def _from_text(self, expr: Expr, marks: Marks, place: str) -> Expr:
        if self._origins is not None:
            for one, offset in marks:
                self._origins.note(one, place, offset)
        return expr

    def _noted(self, expr: Expr, place: str) -> Expr:
        if self._origins is not None:
            self._origins.note(expr, place)
        return expr


@lru_cache(1024)
def _cached_text(text: str, dollar_keys: tuple[str, ...]) -> Expr:
    # From version to version of a Blueprint, most texts stay as they are.
    return parse_text(text, dollar_keys=dollar_keys)


class _FaultLister(StoredReader):
    """Goes on after a fault and lists all; what it reads is of no use then."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.faults: list[FlowError] = []

    def faults_of(self, value: Json) -> list[FlowError]:
        """Return the faults of a program."""
        try:
            self.node(value, "$")
        except FlowError as fault:
            self._meet(fault)
        return self.faults

    def _word(self, value: Json, place: str, vocabulary: Vocabulary) -> Word:
        word = read_word(value, place, vocabulary)
        self.faults += field_faults(word, value, place, vocabulary)
        return word

    def _meet(self, fault: FlowError) -> None:
        self.faults.append(fault)

    def _fields(self, word: Word, value: Json, place: str) -> list[Any]:
        # The makers of expressions go through these.
        empty: dict[str, Any] = {
            "object of expressions": {},
            "expressions": (),
            "nodes": (),
        }
        read = super()._fields(word, value, place)
        return [
            empty.get(field.type) if part is None else part
            for field, part in zip(word.fields, read, strict=True)
        ]


class _FlowIrFaults(_FaultLister, _FlowIrReader):
    """Lists the faults of a program in `flow.ir`."""


class _SwarmFaults(_FaultLister, _SwarmReader):
    """Lists the faults of a program in the dialect `swarm`."""


def _text_error(place: str, text: str, fault: TextFault) -> FlowError:
    """Return the error of a text at a place."""
    return parse_error(place, f"{fault.place_in(text)}: {fault.rule}", fault.offset)


def _meant(key: str) -> str:
    """Return a hint at what the author of a key with `$` means."""
    if key == "$file":
        return "; a file's text is taken inside {lit: …} and {template: …}"
    if is_path(key, "swarm"):
        return f"; write {{NAME: {key}}}"
    return "; data with such a key is {lit: {…}}"


def _is_numbered_literal(value: Json) -> bool:
    """Return whether a value is `[1, value]`, the reference's other form of a literal.

    Conformance case edge-parse-node-156 expects it. The author of a Blueprint means an
    array, so the Blueprint compiler refuses it; the dialect swarm does not have it.
    """
    return (
        type(value) is list
        and len(value) == 2
        and type(value[0]) is int
        and value[0] == 1
    )
