"""What nodes and expressions share: the grammar says how they are written as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, assert_never

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
        names = _FIELDS[self.TAG][getattr(self, self.TAG)]
        for field, value in zip(names, self.field_values(), strict=True):
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
        for field, value in zip(
            _FIELDS[self.TAG][word], self.field_values(), strict=True
        ):
            if value is not None or not field.optional:
                written[field.name] = _write(field, value)
            elif field.nullable:
                written[field.name] = None
        return written


def _write(field: Field, value: Any) -> Json:
    match field.type:
        case "expression" | "path expression" | "node":
            return value.to_json()
        case "expressions" | "nodes":
            return [part.to_json() for part in value]
        case "object of expressions":
            return {key: part.to_json() for key, part in value.items()}
        case "path" | "path below $" | "join":
            return str(value)
        case "text" | "name" | "JSON" | "integer" | "positive integer":
            return value
        case "`continue` or `fail`" | "`text` or `object`":
            return value
        case _:
            assert_never(field.type)
