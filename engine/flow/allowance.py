"""What one evaluation of an expression may spend, and the functions of the host."""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from engine.flow.errors import type_error
from engine.flow.json_text import Json

Extern: TypeAlias = Callable[[list[Json]], Json]

MOST_ELEMENTS: Final = 1_000_000
"""The most elements that the loops and functions of one expression visit together."""
MOST_TEXT: Final = 8 << 20
"""The most characters that the functions of one expression make together."""
COPIED: Final = 64
"""The entries of a container that are copied for the price of one element."""
# So many characters of a text cost about as much time as one element.
_CHARACTERS: Final = 64


class Externs(Protocol):
    """What an expression needs of the registry of extern functions."""

    def __contains__(self, ref: object, /) -> bool: ...

    def __getitem__(self, ref: str, /) -> Extern: ...


class Allowance:
    """What is left of the limits of one evaluation.

    Nested loops multiply, so without a bound a short text could run for years. The
    expressions of flow.ir cost nothing unless an expression of the dialect swarm is
    around them or before them: they alone cannot multiply.
    """

    __slots__ = ("elements", "externs", "is_used", "text")

    def __init__(self, externs: Externs | None = None) -> None:
        self.externs = externs
        self.refill()

    def refill(self) -> None:
        """Begin another evaluation."""
        self.elements = MOST_ELEMENTS
        self.text = MOST_TEXT
        # Whether an expression of the dialect swarm has spent anything.
        self.is_used = False

    def visit(self, op: str, number: int) -> None:
        """Spend elements that are looked at or made; raises TypeError of `op`."""
        self.is_used = True
        self.elements -= number
        if self.elements < 0:
            raise type_error(op, f"visits more than {MOST_ELEMENTS} elements")

    def read(self, op: str, text: str) -> None:
        """Spend what a look at a whole text costs; raises TypeError of `op`."""
        self.visit(op, 1 + len(text) // _CHARACTERS)

    def read_keys(self, op: str, value: dict[str, Json]) -> None:
        """Spend what a look at all keys of an object costs; raises TypeError of `op`."""
        self.visit(op, len(value) + sum(map(len, value)) // _CHARACTERS)

    def write(self, op: str, length: int) -> None:
        """Spend the characters of a text that is to be made; raises TypeError of `op`."""
        self.visit(op, 1 + length // _CHARACTERS)
        self.text -= length
        if self.text < 0:
            raise type_error(op, f"makes more than {MOST_TEXT} characters of text")
