"""An operator agent says nothing of the worker that should sit on its seat."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

PATCH: Final = '"runner": {"backend": "ws_operator", "variant": "<worker>"}'


def check(view: View) -> Iterator[Finding]:
    """Yields each operator agent without a runner where every binding must hold."""
    if view.blueprint.strategy.strict_binding:
        yield from _findings(view)


def warn(view: View) -> Iterator[Finding]:
    """Yields each operator agent without a runner."""
    if not view.blueprint.strategy.strict_binding:
        yield from _findings(view)


def _findings(view: View) -> Iterator[Finding]:
    for one in view.kept:
        if one.kind == "operator" and one.runner is None and one.fault is None:
            yield Finding(
                one.place,
                f"operator agent {one.agent.name!r} has no runner",
                "add a runner, or a runner_ref, or a default_runner for all",
                suggestion=Suggestion("name the worker", PATCH, "HasPlaceholders"),
                element=one.element,
            )


LINT: Final = LintKind(
    "worker-binding-missing",
    "contract",
    Level.WARN,
    "WorkerBindingLint",
    compile=check,
    lint=warn,
)
