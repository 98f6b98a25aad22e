"""What the compiler needs to know of an agent kind; each kind fills in one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.strict import Strict
from engine.flow.json_text import Json


def no_more_rules(bound: BoundAgent) -> Iterator[Finding]:
    """Yields nothing."""
    yield from ()


@dataclass(frozen=True, slots=True)
class KindRules:
    """The rules of one kind.

    `spec` is the shape of `agents[].spec`, `choose` another shape for some agents,
    `check` yields what a shape can't say, with places in the document, and `fill` gives
    the whole spec where it isn't written in the agent. `forms` are those other shapes, and
    `shape` is the JSON Schema of an agent where they make one needed. `answers` tells that someone
    reads a prompt and answers in words.
    """

    spec: type[Strict]
    fill: Callable[[BoundAgent], Mapping[str, Json] | None] = lambda _: None
    choose: Callable[[BoundAgent], type[Strict] | None] = lambda _: None
    check: Callable[[BoundAgent], Iterator[Finding]] = no_more_rules
    forms: tuple[type[Strict], ...] = ()
    shape: dict[str, Json] | None = None
    answers: bool = False

    def model(self, bound: BoundAgent) -> type[Strict]:
        """Returns the shape of this agent's spec."""
        return self.choose(bound) or self.spec
