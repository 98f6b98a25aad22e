"""What a verb answers: an exit code, JSON for programs and text for people."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.flow.json_text import Json

FINE: Final = 0
INVALID: Final = 1
REFUSED: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` or `text` goes to standard output, `notes` are said on the side."""

    code: int
    data: dict[str, Json]
    text: str = ""
    notes: tuple[str, ...] = ()


def lines(*rows: str) -> str:
    """Returns rows as text, each with its line end."""
    return "".join(f"{row}\n" for row in rows)


def refusal(
    kind: str, text: str, *, exit_code: int, before: Iterable[str] = (), **more: Json
) -> Answer:
    """Returns the answer that there is none; `before` is said before the reason."""
    error = {"kind": kind, "text": text, **more}
    return Answer(exit_code, {"ok": False, "error": error}, notes=(*before, text))
