"""What a commit's message holds: the author's text, then trailers that only we write.

The trailers are the last paragraph. Their values have no newline, and lines of the
author's text that look like one of them, or end a message for git, are indented.
"""

import re
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"Swarm-(?P<key>[A-Z][a-z]+): (?P<value>\S+)")
# Git takes `---` for the end of a message when it looks for trailers.
_OURS: Final = re.compile(r"^(?= *(?:Swarm-[A-Za-z-]*\s*:|---))", re.M | re.I)
_INDENTED: Final = re.compile(r"^ (?= *(?:Swarm-[A-Za-z-]*\s*:|---))", re.M | re.I)


class NoTrailers(ValueError):
    """A message that this store has not written."""


@dataclass(frozen=True, slots=True)
class Trailers:
    """The fields of a commit that git has no place for."""

    blueprint: str
    version: str
    number: int
    label: str | None = None
    restores: str | None = None


def compose(text: str, trailers: Trailers) -> str:
    """Return the message of a commit."""
    fields = {
        "Blueprint": trailers.blueprint,
        "Version": trailers.version,
        "Number": str(trailers.number),
        "Label": trailers.label,
        "Restores": trailers.restores,
    }
    lines = [f"Swarm-{key}: {value}" for key, value in fields.items() if value]
    return "\n".join((_OURS.sub(" ", text), "", *lines, ""))


def read(message: str) -> tuple[str, Trailers]:
    """Return the author's text and the trailers of a message; raise NoTrailers."""
    text, _, last = message.removesuffix("\n").rpartition("\n\n")
    found = [_LINE.fullmatch(line) for line in last.split("\n")]
    fields = {match["key"]: match["value"] for match in found if match}
    try:
        trailers = Trailers(
            fields["Blueprint"],
            fields["Version"],
            int(fields["Number"]),
            fields.get("Label"),
            fields.get("Restores"),
        )
    except (KeyError, ValueError):
        raise NoTrailers("its message has no trailers of Swarm") from None
    return _INDENTED.sub("", text), trailers
