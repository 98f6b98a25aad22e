"""Where the parts of a program stand in the document that it was read from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.flow.expr import Expr
from engine.flow.nodes import Node
from engine.flow.part import Part


@dataclass(frozen=True, slots=True)
class Origin:
    """A place of the document, and the character there where the place is a text."""

    place: str
    offset: int | None = None


class Origins:
    """The origins of expressions, noted while a program is read."""

    def __init__(self) -> None:
        # The expressions stay alive, so that no other gets the id of one.
        self._noted: list[tuple[Expr, str, int | None]] = []

    def note(self, expr: Expr, place: str, offset: int | None = None) -> None:
        """Note the origin of an expression; what is noted last counts."""
        self._noted.append((expr, place, offset))

    def by_place(self, root: Node | Expr) -> Mapping[str, Origin]:
        """Return the noted origins by the places in the JSON of a program."""
        noted = {id(expr): (at, offset) for expr, at, offset in self._noted}
        found: dict[str, Origin] = {}
        waiting: list[tuple[str, Part]] = [("$", root)]
        while waiting:
            place, part = waiting.pop()
            if id(part) in noted:
                found[place] = Origin(*noted[id(part)])
            below: Iterable[tuple[str, Part]] = part.inside()
            waiting.extend((place + step, one) for step, one in below)
        return found
