"""What is wrong with a Blueprint: the place, the rule, and what would be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `place` is a path in the document (`$.flow.children[2].cond`), `code` names the
    rule for programs, `message` and `hint` are for people.
    """

    place: str
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.place}: {self.message}{hint} [{self.code}]"

    def to_json(self) -> dict[str, str]:
        """Writes the finding as JSON."""
        return {
            "place": self.place,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }


class BlueprintInvalid(Exception):
    """A document that is no Blueprint, or one that can't run here."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: Sequence[Diagnostic] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.diagnostics)


def place_in(start: str, parts: Iterable[str | int]) -> str:
    """Returns the place reached from `start` by keys and indices."""
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return start + "".join(steps)
