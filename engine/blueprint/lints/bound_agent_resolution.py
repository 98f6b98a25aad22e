"""An agent's runner can't be resolved."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import default_runner_fault
from engine.blueprint.diagnostics import Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each failure of the runner cascade."""
    for one in view.bound:
        if one.fault is not None:
            yield one.fault
    fault = default_runner_fault(view.blueprint)
    if fault is not None:
        yield fault


LINT: Final = LintKind("bound-agent-resolution", "correctness", compile=check)
