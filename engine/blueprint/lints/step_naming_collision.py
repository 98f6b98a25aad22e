"""Two steps claim one public name for their outputs."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Element, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.naming import Collision
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each collision in which a projection_name took part."""
    for found in view.names.collisions:
        if found.reason:
            yield _finding(found, f": {found.reason}")


def warn(view: View) -> Iterator[Finding]:
    """Yields the others, of which one step gets the name."""
    for found in view.names.collisions:
        if not found.reason:
            owner = view.names.names[found.name]
            yield _finding(found, f"; {owner!r} gets it")


def _finding(found: Collision, why: str) -> Finding:
    return Finding(
        found.place,
        f"the steps {found.first!r} and {found.second!r} both claim the output name"
        f" {found.name!r}{why}",
        "give one of them another out path, or another projection_name",
        element=Element("Step", found.second),
    )


LINT: Final = LintKind(
    "step-naming-collision",
    "correctness",
    Level.INFO,
    "NamingLint",
    compile=check,
    lint=warn,
)
