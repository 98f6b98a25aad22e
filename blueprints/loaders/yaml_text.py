"""Read YAML with the types of JSON, by the core schema of YAML 1.2.

`no` and `on` are texts, not booleans; dates and tags of other types are errors.
"""

import math
import re
from typing import Any, Final

import yaml

from blueprints.loaders.yaml_words import plain_words
from engine.flow.json_text import MAX_DEPTH, Json, find_fault

MAX_NODES: Final = 200_000
_TAG: Final = "tag:yaml.org,2002:"
_LARGEST_INT: Final = 2**64 - 1
_SMALLEST_INT: Final = -(2**63)
_LONGEST_INT: Final = 24
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} containers"
_IN_QUOTES: Final = "a text that begins with '{}' is written between quotes"
_UNFINISHED: Final = object()
_UNDEFINED: Final = object()


class YamlTextError(ValueError):
    """A text that is no such YAML.

    `line` and `column` count from 1; they are 0 where the text as a whole is meant, and
    then `place` may name the value.
    """

    def __init__(
        self, rule: str, line: int = 0, column: int = 0, place: str = ""
    ) -> None:
        """Make an error from a rule for people."""
        self.rule = rule
        self.line = line
        self.column = column
        self.place = place
        where = f"line {line} column {column}: " if line else ""
        super().__init__(f"{where}at {place}: {rule}" if place else where + rule)


class YamlEmpty(YamlTextError):
    """A text without a value."""


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
    """Return the JSON value of one YAML document in UTF-8.

    Each alias becomes a copy, up to 200 000 values in all, counted before each is made.
    Integers beyond 64 bits become floats, as in JSON text. Raises YamlTextError.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlTextError(f"byte {error.start}: not UTF-8") from None
    try:
        value = _Composer(_Loader(text)).document()
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(*plain_words(error, text)) from None
    except yaml.reader.ReaderError as error:
        raise _unprintable(error, text) from None
    fault = find_fault(value)
    if fault is not None:
        raise YamlTextError(fault[1], place=fault[0])
    return value


def compose_yaml(text: str) -> yaml.Node:
    """Return the root node, with the marks of all nodes, of a text `load_yaml` reads."""
    return yaml.compose(text, _Loader)


class _Composer:
    """Make the values of the parser's events, and count them first.

    The composer of PyYAML makes nodes of the whole text before they can be counted.
    """

    def __init__(self, parser: _Loader) -> None:
        self._parser = parser
        self._count = 0
        self._anchors: dict[str, Json] = {}

    def document(self) -> Json:
        """Return the value of the only document; raises YamlEmpty for none."""
        parser = self._parser
        parser.get_event()
        if parser.check_event(yaml.StreamEndEvent):
            raise YamlEmpty("the document is empty", 1, 1)
        parser.get_event()
        value = self._value(0)
        parser.get_event()
        if not parser.check_event(yaml.StreamEndEvent):
            raise _refused(parser.get_event(), "expected one document, found another")
        return value

    def _value(self, depth: int) -> Json:
        event = self._parser.get_event()
        if isinstance(event, yaml.AliasEvent):
            found = self._anchors.get(event.anchor, _UNDEFINED)
            if found is _UNDEFINED:
                raise _refused(
                    event,
                    f"no value has the anchor {event.anchor!r}; {_IN_QUOTES.format('*')}",
                )
            if found is _UNFINISHED:
                raise _refused(event, f"{event.anchor!r} is inside itself, {_TOO_DEEP}")
            return self._copied(found, event, depth)
        self._charge(event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise _refused(event, f"the anchor {event.anchor!r} exists already")
            # An alias to a value that is not complete would nest it in itself.
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

    def _copied(self, value: Json, event: yaml.Event, depth: int) -> Json:
        """Return a copy, so that a change of one value does not change the other."""
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
        case "int" | "float" as number:
            try:
                return _integer(text) if number == "int" else _float(text)
            except ValueError:
                raise _refused(event, f"JSON has no such number: {text!r}") from None
    raise _no_type(event, tag)


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


def _require_tag(event: yaml.Event, tag: str, wanted: str) -> None:
    if tag != f"{_TAG}{wanted}":
        raise _no_type(event, tag)


def _no_type(event: yaml.Event, tag: str) -> YamlTextError:
    hint = f"; {_IN_QUOTES.format('!')}" if tag.startswith("!") else ""
    return _refused(event, f"the tag {tag} is no JSON type{hint}")


def _refused(event: yaml.Event, rule: str) -> YamlTextError:
    mark = event.start_mark
    return YamlTextError(rule, mark.line + 1, mark.column + 1)


def _unprintable(error: yaml.reader.ReaderError, text: str) -> YamlTextError:
    before = text[: error.position]
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    return YamlTextError("YAML allows no control character here", line, column)
