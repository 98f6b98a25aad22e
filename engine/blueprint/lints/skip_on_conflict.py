"""One verdict of one agent both skips work and halts it."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Element, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each value of a skip guard that the same agent's halt guard names too."""
    halts: dict[tuple[str, str], str] = {}
    for test in view.tests:
        for ref in test.producers if test.halts else ():
            for value in test.values:
                if isinstance(value, str):
                    halts.setdefault((ref, value), test.place)
    for test in view.tests:
        for ref in sorted(test.producers) if test.skip else ():
            for place, value in zip(test.literals, test.values, strict=True):
                halt = halts.get((ref, value)) if isinstance(value, str) else None
                if halt is not None:
                    yield Finding(
                        place,
                        f"{value!r} of {ref!r} skips here and halts at {halt}",
                        "let it do one of the two",
                        element=Element("Agent", ref),
                    )


LINT: Final = LintKind(
    "skip-on-pattern-conflicts-with-halt-on",
    "suspicious",
    Level.WARN,
    "SkipOnLint",
    lint=check,
)
