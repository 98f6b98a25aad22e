"""Every binding must hold, and there is none."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import bind_requests
from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields a finding for strict_binding without one bind request."""
    if not view.blueprint.strategy.strict_binding:
        return
    if not any(True for _ in bind_requests(view.bound)):
        yield Finding(
            "$.strategy.strict_binding",
            "strict_binding has nothing to hold: no agent asks for a binding",
            "give an agent a runner, or drop strict_binding",
            element=ROOT,
        )


LINT: Final = LintKind(
    "strict-binding-without-runners",
    "suspicious",
    Level.WARN,
    "BindingLint",
    lint=check,
)
