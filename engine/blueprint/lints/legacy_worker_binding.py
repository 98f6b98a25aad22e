"""A runner is written the old way, as profile.worker_binding."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.flow import dump_compact


def check(view: View) -> Iterator[Finding]:
    """Yields each agent whose runner comes from the old field."""
    for one in view.bound:
        if one.source != "legacy_worker_binding" or one.runner is None:
            continue
        runner = dump_compact(one.runner.model_dump())
        yield Finding(
            f"{one.place}.profile.worker_binding",
            f"{one.agent.name!r} names its worker by worker_binding",
            "write a runner; `manage.py blueprint upgrade` does it",
            suggestion=Suggestion(
                "the same as a runner", f'"runner": {runner}', "MachineApplicable"
            ),
            element=one.element,
        )


LINT: Final = LintKind(
    "legacy-worker-binding", "migration", Level.WARN, "BindingLint", lint=check
)
