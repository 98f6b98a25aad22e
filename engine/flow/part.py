"""What nodes and expressions share: the grammar says how they are written as JSON."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, TypeAlias, assert_never

from engine.flow.errors import place_step
from engine.flow.grammar import NODES, OPS, Field
from engine.flow.json_text import Json


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
        for (field, _), value in zip(fields, self.field_values(), strict=True):
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
        word = getattr(self, self.TAG)
        written: dict[str, Json] = {self.TAG: word}
        fields = _FIELDS[self.TAG][word]
        for (field, write), value in zip(fields, self.field_values(), strict=True):
            if value is not None or not field.optional:
                written[field.name] = value if write is None else write(value)
            elif field.nullable:
                written[field.name] = None
        return written


def _writer(field: Field) -> Callable[[Any], Json] | None:
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


_Fields: TypeAlias = tuple[tuple[Field, Callable[[Any], Json] | None], ...]
_FIELDS: Final[Mapping[str, Mapping[str, _Fields]]] = {
    tag: {
        word.name: tuple((field, _writer(field)) for field in word.fields)
        for word in words
    }
    for tag, words in (("kind", NODES), ("op", OPS))
}
