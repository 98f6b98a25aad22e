"""What a comparison reads of a document: the nodes of its flow with their own fields.

Any JSON value can be read. What is no node stays as it is written, and an expression is
read as the language reads it where it can.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from engine.flow import DIALECTS, Dialect, FlowError, dump_compact, parse_node
from engine.flow.grammar import (
    NODE_WORDS,
    NODES,
    SOURCE_NODES,
    Field,
    FieldType,
    Word,
)
from engine.flow.json_text import Json
from engine.flow.part import Part
from engine.flow.path import Path

_CHILD_TYPES: Final = ("node", "nodes")
_ARMS: Final = {
    word.name: [one.name for one in word.fields if one.type in _CHILD_TYPES]
    for word in NODES
}
_ANY_ARM: Final = [*dict.fromkeys(arm for arms in _ARMS.values() for arm in arms)]
LISTED: Final = "children"
"""The arm whose nodes have an order."""
# By kind: the word of today for a field, by its word in the other dialect.
_TODAY: Final = {
    word.name: {one.name: one.source for one in word.fields if one.source}
    for word in NODES
}
_LONGEST_PATH: Final = 60
_WORDS: Final[Mapping[Dialect, Mapping[str, Word]]] = {
    "flow.ir": NODE_WORDS["flow.ir"].words,
    "swarm": SOURCE_NODES.words,
}
# What stands for a field while another one is read.
_STAND_INS: Final[Mapping[FieldType, Json]] = {
    "expression": {"op": "lit", "value": None},
    "path expression": {"op": "path", "at": "$.x"},
    "path": "$.x",
    "path below $": "$.x",
    "node": {"kind": "seq", "children": []},
    "nodes": [],
    "text": "x",
    "join": "any",
    "integer": 1,
}


@dataclass(slots=True, eq=False)
class Node:
    """A node at its place, with the fields that are no nodes themselves.

    `end` is the number behind its last descendant, `written` its kind and fields as
    text.
    """

    place: str
    kind: str
    fields: dict[str, Json]
    parent: int
    arm: str
    children: list[int] = field(default_factory=list)
    end: int = 0
    written: str = ""

    @property
    def name(self) -> str | None:
        """The name that its author gave it."""
        name = self.fields.get("name")
        return name if isinstance(name, str) and self.kind == "step" else None

    @property
    def title(self) -> str:
        """What people call it."""
        agent = self.fields.get("agent")
        if self.name is not None:
            return f"step '{self.name}'"
        if self.kind == "step" and isinstance(agent, str):
            return f"step of '{agent}'"
        path = self.fields.get("at")
        if isinstance(path, str):
            return f"{self.kind} {path[:_LONGEST_PATH]}"
        return self.kind or "unreadable node"


class Outline:
    """The nodes of a document's flow in the order of the document."""

    def __init__(self, document: Json) -> None:
        """Read a document."""
        self.top: dict[str, Json] = document if isinstance(document, dict) else {}
        dialect = self.top.get("dialect")
        self.dialect: Dialect = "swarm" if dialect == "swarm" else DIALECTS[0]
        self.nodes: list[Node] = []
        self._normal: dict[int, dict[str, Part | Json]] = {}
        if "flow" in self.top:
            self._read(self.top["flow"])

    def _read(self, flow: Json) -> None:
        waiting: list[tuple[Json, str, int, str]] = [(flow, "$.flow", -1, "")]
        while waiting:
            value, place, parent, arm = waiting.pop()
            node, below = _read_node(value, place, parent, arm)
            number = len(self.nodes)
            self.nodes.append(node)
            if parent >= 0:
                self.nodes[parent].children.append(number)
            waiting += [(one, at, number, name) for one, at, name in reversed(below)]
        for number in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[number]
            node.end = max(node.end, number + 1)
            if node.parent >= 0:
                above = self.nodes[node.parent]
                above.end = max(above.end, node.end)

    def author_word(self, kind: str, name: str) -> str:
        """Return the name of a field as an author of the document's dialect writes it."""
        return name if self.dialect == "swarm" else _older_words(kind).get(name, name)

    def normal(self, number: int) -> Mapping[str, Part | Json]:
        """Return the fields of a node as the language reads them."""
        if number not in self._normal:
            node = self.nodes[number]
            self._normal[number] = _read_fields(node.kind, node.fields, self.dialect)
        return self._normal[number]

    def normal_text(self, number: int) -> str:
        """Return the kind and the fields of a node, equal for every form of it."""
        fields = self.normal(number).items()
        return dump_compact([self.nodes[number].kind, *sorted(
            [name, normal_text(value)] for name, value in fields)])  # fmt: skip


def normal_text(value: Part | Json) -> str:
    """Return a text of a field's value that is equal for every form of it."""
    if isinstance(value, Part):
        return dump_compact(value.to_json())
    return dump_compact(path_json(value) if isinstance(value, Path) else value)


def path_json(path: Path) -> Json:
    """Return a path as the expression of it is stored."""
    return {"op": "path", "at": str(path)}


def _read_node(
    value: Json, place: str, parent: int, arm: str
) -> tuple[Node, list[tuple[Json, str, str]]]:
    """Return a node without its children, and those with their places and arms."""
    if not isinstance(value, dict):
        node = Node(place, "", {"value": value}, parent, arm)
        node.written = _written("", value)
        return node, []
    kind = value.get("kind")
    kind = kind if isinstance(kind, str) else ""
    below: list[tuple[Json, str, str]] = []
    fields = dict(value)
    if kind:
        del fields["kind"]
    for name in _ARMS.get(kind, _ANY_ARM):
        part, at = value.get(name), f"{place}.{name}"
        if name == LISTED and isinstance(part, list):
            below += [(one, f"{at}[{n}]", name) for n, one in enumerate(part)]
        elif name == LISTED or name not in value:
            continue
        else:
            below.append((part, at, name))
        del fields[name]
    today = _TODAY.get(kind)
    if today and not today.keys().isdisjoint(fields):
        fields = {
            key if (new := today.get(key)) is None or new in value else new: part
            for key, part in fields.items()
        }
    node = Node(place, kind, fields, parent, arm)
    node.written = _written(kind, fields)
    return node, below


def _written(kind: str, fields: Json) -> str:
    """Return a text that is equal for equal fields."""
    try:
        return orjson.dumps([kind, fields], option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        # It takes less than other JSON, and a fraction of the time.
        return dump_compact([kind, fields])


def _read_fields(
    kind: str, fields: Mapping[str, Json], dialect: Dialect
) -> dict[str, Part | Json]:
    """Return the fields of a node as the language reads them, others as written."""
    word = _WORDS[dialect].get(kind)
    if word is None:
        return dict(fields)
    authors = {} if dialect == "swarm" else _older_words(kind)
    arms = _stand_ins(word, lambda one: one.type in _CHILD_TYPES)
    written = {authors.get(key, key): value for key, value in fields.items()}
    read = _parsed(word, {**arms, **written}, dialect)
    if read is None:
        # Each alone, so that a fault in one does not change how another is read.
        others = _stand_ins(word, lambda one: one.type in _STAND_INS)
        read = {}
        for key, value in fields.items():
            alone = {**others, authors.get(key, key): value}
            read[key] = (_parsed(word, alone, dialect) or fields).get(key, value)
    # Null and absent are the same where a field may be null.
    return {key: read[key] for key in fields if read[key] is not None}


def _stand_ins(word: Word, is_wanted: Callable[[Field], bool]) -> dict[str, Json]:
    """Return what stands for some fields of a word."""
    return {one.name: _STAND_INS[one.type] for one in word.fields if is_wanted(one)}


def _older_words(kind: str) -> dict[str, str]:
    """Return the words of the dialect `flow.ir` by those of today."""
    return {new: old for old, new in _TODAY.get(kind, {}).items()}


def _parsed(
    word: Word, fields: Mapping[str, Json], dialect: Dialect
) -> dict[str, Part | Json] | None:
    """Return the values of a word's fields by their words of today.

    None where they can't be read.
    """
    try:
        node = parse_node({"kind": word.name, **fields}, dialect)
    except FlowError:
        return None
    names = (one.name for one in SOURCE_NODES.all_words[word.name].fields)
    return dict(zip(names, node.field_values(), strict=True))
