"""What nodes and expressions share: the grammar says how they are written as JSON."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Final, Literal, TypeAlias, assert_never

from engine.flow.errors import place_step
from engine.flow.grammar import NODES, OPS, Field
from engine.flow.json_text import Json

_FIELDS: Final[Mapping[str, Mapping[str, tuple[Field, ...]]]] = {
    "kind": {word.name: word.fields for word in NODES},
    "op": {word.name: word.fields for word in OPS},
}


class Part:
    """A dataclass with its word, and the values of the word's fields in their order."""

    __slots__ = ()
    TAG: ClassVar[Literal["kind", "op"]]
    __match_args__: ClassVar[tuple[str, ...]]

    def field_values(self) -> list[Any]:
        """Return the values of the word's fields, None for absent ones."""
        # Those of a dataclass, in the order of its fields.
        names = self.__match_args__
        return [getattr(self, name) for name in names if name != self.TAG]

    def inside(self) -> Iterator[tuple[str, "Part"]]:
        """Yield the parts directly inside, each with its place below this one."""
        fields = _FIELDS[self.TAG][getattr(self, self.TAG)]
        for field, value in zip(fields, self.field_values(), strict=True):
            if isinstance(value, Part):
                yield f".{field.name}", value
            elif isinstance(value, tuple):
                for n, one in enumerate(value):
                    yield f".{field.name}[{n}]", one
            elif field.type == "object of expressions":
                for key, one in value.items():
                    yield f".{field.name}{place_step(key)}", one

    def to_json(self) -> dict[str, Json]:
        """Write the part as JSON.

        An absent field is null where the field is nullable, and left out otherwise.
        """
        # Any, because mypy takes the class for something without a hash.
        kind: Any = type(self)
        word = getattr(self, self.TAG)
        written: dict[str, Json] = {self.TAG: word}
        for attribute, name, write, is_left_out in _plan_of(kind, word):
            value = getattr(self, attribute)
            if value is not None:
                written[name] = value if write is None else write(value)
            elif not is_left_out:
                written[name] = None
        return written


_Write: TypeAlias = Callable[[Any], Json] | None


@cache
def _plan_of(part: type[Part], word: str) -> list[tuple[str, str, _Write, bool]]:
    """Return how the parts of a class with a word are written, field by field.

    For each come its attribute, its name, what writes a value, and whether it is left
    out where it is absent.
    """
    names = [name for name in part.__match_args__ if name != part.TAG]
    fields = _FIELDS[part.TAG][word]
    return [
        (name, one.name, _writer(one), one.optional and not one.nullable)
        for name, one in zip(names, fields, strict=True)
    ]


def _writer(field: Field) -> _Write:
    """Return what writes the values of a field, None for those that are JSON."""
    match field.type:
        case "expression" | "path expression" | "node":
            return Part.to_json
        case "expressions" | "nodes":
            return lambda value: [part.to_json() for part in value]
        case "object of expressions":
            return lambda value: {key: part.to_json() for key, part in value.items()}
        case "path" | "path below $" | "join":
            return str
        case "text" | "name" | "JSON" | "integer" | "positive integer":
            return None
        case "`continue` or `fail`" | "`text` or `object`":
            return None
        case _:
            assert_never(field.type)
