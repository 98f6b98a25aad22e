"""An expression calls a function that isn't registered here."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import Spot, reads_of, walk_expr
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each call_extern of a name that the caller doesn't know."""
    return unregistered(view.spots, view.options.externs)


def unregistered(spots: Iterable[Spot], known: Collection[str]) -> Iterator[Finding]:
    """Yields a finding for each call_extern in a flow of a name that isn't known."""
    for spot in spots:
        for place, expr in reads_of(spot):
            for at, part in walk_expr(place, expr):
                if part["op"] == "call_extern" and part["ref"] not in known:
                    message = f"no function {part['ref']!r} is registered here"
                    hint = did_you_mean(part["ref"], known) or "this will fail"
                    yield Finding(f"{at}.ref", message, hint)


LINT: Final = LintKind(
    "unregistered-extern", "correctness", Level.WARN, "FlowLint", lint=check
)
