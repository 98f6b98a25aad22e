"""Reads YAML that means JSON: the core schema of YAML 1.2 and nothing beyond JSON.

`no` and `on` are texts, not booleans; dates and tags of other types are refused.
"""

import math
import re
from typing import Final

import yaml

from engine.flow.json_text import MAX_DEPTH, Json, find_fault

MAX_NODES: Final = 200_000
_TAG: Final = "tag:yaml.org,2002:"
_LARGEST_INT: Final = 2**64 - 1
_SMALLEST_INT: Final = -(2**63)
_LONGEST_INT: Final = 24


class YamlTextError(ValueError):
    """A text that is not such YAML; the message names line, column and rule."""


class YamlEmpty(YamlTextError):
    """A text without any value in it."""


class _Loader(yaml.SafeLoader):
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

    Aliases are followed, up to 200 000 values in all. Integers beyond 64 bits become
    floats, as in JSON text. Raises YamlTextError.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlTextError(f"byte {error.start}: not UTF-8") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlTextError(f"{_at(error.problem_mark)}: {problem}") from None
    except yaml.YAMLError as error:
        raise YamlTextError(str(error)) from None
    except RecursionError:
        rule = f"nested deeper than {MAX_DEPTH} containers"
        raise YamlTextError(f"somewhere in the text: {rule}") from None
    if node is None:
        raise YamlEmpty("line 1 column 1: the document is empty")
    value = _Builder().build(node, 0)
    fault = find_fault(value)
    if fault is not None:
        raise YamlTextError(f"at {fault[0]}: {fault[1]}")
    return value


class _Builder:
    """Makes values of nodes and counts them, since aliases can multiply."""

    def __init__(self) -> None:
        self._nodes = 0

    def build(self, node: yaml.Node, depth: int) -> Json:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _refused(node, f"more than {MAX_NODES} values, aliases followed")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        # An alias inside its own anchor ends here too.
        if depth == MAX_DEPTH:
            raise _refused(node, f"nested deeper than {MAX_DEPTH} containers")
        if isinstance(node, yaml.SequenceNode):
            _require_tag(node, "seq")
            return [self.build(part, depth + 1) for part in node.value]
        _require_tag(node, "map")
        built: dict[str, Json] = {}
        for key_node, part in node.value:
            key = self.build(key_node, depth + 1)
            if not isinstance(key, str):
                raise _refused(key_node, "a key must be a string; put it in quotes")
            if key in built:
                raise _refused(key_node, f"duplicate key {key!r}")
            built[key] = self.build(part, depth + 1)
        return built


def _scalar(node: yaml.ScalarNode) -> Json:
    text: str = node.value
    match node.tag.removeprefix(_TAG):
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
                raise _refused(node, f"not a number JSON can hold: {text!r}") from None
    raise _refused(node, f"the tag {node.tag} is no JSON type")


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


def _require_tag(node: yaml.Node, sort: str) -> None:
    if node.tag != f"{_TAG}{sort}":
        raise _refused(node, f"the tag {node.tag} is no JSON type")


def _refused(node: yaml.Node, rule: str) -> YamlTextError:
    return YamlTextError(f"{_at(node.start_mark)}: {rule}")


def _at(mark: yaml.Mark | None) -> str:
    if mark is None:
        return "somewhere in the text"
    return f"line {mark.line + 1} column {mark.column + 1}"
