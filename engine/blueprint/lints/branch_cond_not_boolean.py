"""A branch asks something whose answer is never true or false."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import UNKNOWN, constant_of
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

NUMBERS: Final = frozenset({"add", "sub", "mul", "div", "mod", "len"})


def check(view: View) -> Iterator[Finding]:
    """Yields each branch whose cond is a number or a constant of another type."""
    for spot in view.spots:
        if spot.kind != "branch":
            continue
        cond = spot.node["cond"]
        value = constant_of(cond)
        constant = value is not UNKNOWN and not isinstance(value, bool)
        if cond["op"] in NUMBERS or constant:
            yield Finding(
                f"{spot.place}.cond",
                "a branch needs true or false, and this is neither: it will fail",
                "a loop takes any value that isn't null or false; a branch doesn't",
            )


LINT: Final = LintKind(
    "branch-cond-not-boolean", "correctness", Level.WARN, "FlowLint", lint=check
)
