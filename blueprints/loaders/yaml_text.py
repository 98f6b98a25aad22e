"""Reads YAML that means JSON: the core schema of YAML 1.2 and nothing beyond JSON.

`no` and `on` are texts, not booleans; dates and tags of other types are refused.
"""

import math
import re
from typing import Any, Final

import yaml

from engine.flow.json_text import MAX_DEPTH, Json, find_fault

MAX_NODES: Final = 200_000
_TAG: Final = "tag:yaml.org,2002:"
_LARGEST_INT: Final = 2**64 - 1
_SMALLEST_INT: Final = -(2**63)
_LONGEST_INT: Final = 24
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} containers"
_UNFINISHED: Final = object()
_UNDEFINED: Final = object()


class YamlTextError(ValueError):
    """A text that is not such YAML; the message names line, column and rule."""


class YamlEmpty(YamlTextError):
    """A text without any value in it."""


# libyaml, twenty times as fast, is in every wheel of PyYAML.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):
    """PyYAML's parser with the plain scalars of YAML 1.2 instead of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), _first
    )


def load_yaml(content: bytes) -> Json:
    """Returns the JSON value of one YAML document in UTF-8.

    Aliases are followed, up to 200 000 values in all, counted before each is made.
    Integers beyond 64 bits become floats, as in JSON text. Raises YamlTextError.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlTextError(f"byte {error.start}: not UTF-8") from None
    try:
        value = _Composer(_Loader(text)).document()
    except yaml.MarkedYAMLError as error:
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlTextError(f"{_at(error.problem_mark)}: {problem}") from None
    except yaml.YAMLError as error:
        raise YamlTextError(str(error)) from None
    fault = find_fault(value)
    if fault is not None:
        raise YamlTextError(f"at {fault[0]}: {fault[1]}")
    return value


class _Composer:
    """Makes values of what the parser meets, and counts them first.

    PyYAML's own makes nodes of the whole text before anyone can count.
    """

    def __init__(self, parser: _Loader) -> None:
        self._parser = parser
        self._count = 0
        self._anchors: dict[str, Json] = {}

    def document(self) -> Json:
        """Returns the value of the only document; raises YamlEmpty for none."""
        parser = self._parser
        parser.get_event()
        if parser.check_event(yaml.StreamEndEvent):
            raise YamlEmpty("line 1 column 1: the document is empty")
        parser.get_event()
        value = self._value(0)
        parser.get_event()
        if not parser.check_event(yaml.StreamEndEvent):
            raise _refused(parser.get_event(), "expected one document, found another")
        return value

    def _value(self, depth: int) -> Json:
        event = self._parser.get_event()
        if isinstance(event, yaml.AliasEvent):
            return self._followed(event, depth)
        self._charge(event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise _refused(event, f"the anchor {event.anchor!r} is there already")
            # Until it is complete, an alias to it is inside of itself.
            self._anchors[event.anchor] = _UNFINISHED
        value = self._made(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _made(self, event: yaml.NodeEvent, depth: int) -> Json:
        parser = self._parser
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, _tag_of(parser, event, yaml.ScalarNode))
        if depth == MAX_DEPTH:
            raise _refused(event, _TOO_DEEP)
        if isinstance(event, yaml.SequenceStartEvent):
            _require_tag(event, _tag_of(parser, event, yaml.SequenceNode), "seq")
            items = []
            while not parser.check_event(yaml.SequenceEndEvent):
                items.append(self._value(depth + 1))
            parser.get_event()
            return items
        _require_tag(event, _tag_of(parser, event, yaml.MappingNode), "map")
        built: dict[str, Json] = {}
        while not parser.check_event(yaml.MappingEndEvent):
            at = parser.peek_event()
            key = self._value(depth + 1)
            if not isinstance(key, str):
                raise _refused(at, "a key must be a string; put it in quotes")
            if key in built:
                raise _refused(at, f"duplicate key {key!r}")
            built[key] = self._value(depth + 1)
        parser.get_event()
        return built

    def _followed(self, event: yaml.AliasEvent, depth: int) -> Json:
        found = self._anchors.get(event.anchor, _UNDEFINED)
        if found is _UNDEFINED:
            raise _refused(event, f"found undefined alias {event.anchor!r}")
        if found is _UNFINISHED:
            raise _refused(event, f"{event.anchor!r} is inside itself, {_TOO_DEEP}")
        return self._copied(found, event, depth)

    def _copied(self, value: Json, event: yaml.Event, depth: int) -> Json:
        """Returns a value once more: who changes one must not change the other."""
        self._charge(event)
        if not isinstance(value, dict | list):
            return value
        if depth == MAX_DEPTH:
            raise _refused(event, _TOO_DEEP)
        if isinstance(value, list):
            return [self._copied(part, event, depth + 1) for part in value]
        copy = {}
        for key, part in value.items():
            self._charge(event)
            copy[key] = self._copied(part, event, depth + 1)
        return copy

    def _charge(self, event: yaml.Event) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise _refused(event, f"more than {MAX_NODES} values, aliases followed")


def _tag_of(parser: _Loader, event: yaml.NodeEvent, node: type[yaml.Node]) -> str:
    if event.tag is not None and event.tag != "!":
        return str(event.tag)
    text = event.value if isinstance(event, yaml.ScalarEvent) else None
    return str(parser.resolve(node, text, event.implicit))


def _scalar(event: yaml.ScalarEvent, tag: str) -> Json:
    text: str = event.value
    match tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" as sort:
            try:
                return _integer(text) if sort == "int" else _float(text)
            except ValueError:
                raise _refused(event, f"not a number JSON can hold: {text!r}") from None
    raise _refused(event, f"the tag {tag} is no JSON type")


def _integer(text: str) -> int | float:
    if len(text) > _LONGEST_INT:
        return _float(text)
    prefixed = text.startswith(("0o", "0x"))
    value = int(text, 0) if prefixed else int(text)
    return value if _SMALLEST_INT <= value <= _LARGEST_INT else float(value)


def _float(text: str) -> float:
    value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _require_tag(event: yaml.Event, tag: str, sort: str) -> None:
    if tag != f"{_TAG}{sort}":
        raise _refused(event, f"the tag {tag} is no JSON type")


def _refused(event: yaml.Event, rule: str) -> YamlTextError:
    return YamlTextError(f"{_at(event.start_mark)}: {rule}")


def _at(mark: yaml.Mark | None) -> str:
    if mark is None:
        return "somewhere in the text"
    return f"line {mark.line + 1} column {mark.column + 1}"
