"""Findings as lines for people: place, level, message, and what to do."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from engine.blueprint import Diagnostic, Level

WORDS: Final = {Level.ERROR: "error", Level.WARN: "warning", Level.INFO: "info"}


def finding_lines(file: str, found: Diagnostic) -> Iterator[str]:
    """Yields `FILE:PLACE: level: message [kind]` and what helps, indented."""
    word = WORDS[found.level]
    yield f"{file}:{found.place}: {word}: {found.message} [{found.kind}]"
    if found.help:
        yield f"  help: {found.help}"
    for note in found.notes:
        yield f"  note: {note}"
    if found.suggestion is not None:
        yield f"  {found.suggestion.msg}: {found.suggestion.patch}"


def counted(findings: Iterable[Diagnostic]) -> Counter[Level]:
    """Returns how many findings there are of each level."""
    return Counter(one.level for one in findings)


def summary(errors: int, warnings: int, infos: int, allowed: int) -> str:
    """Returns the counts in words."""
    return ", ".join(
        f"{number} {word}{'s' if number != 1 and word != 'allowed' else ''}"
        for number, word in (
            (errors, "error"),
            (warnings, "warning"),
            (infos, "note"),
            (allowed, "allowed"),
        )
        if number or word in ("error", "warning")
    )
