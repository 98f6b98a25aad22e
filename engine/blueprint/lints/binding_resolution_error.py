"""An agent's runner can't serve its kind."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import BACKENDS
from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent whose own runner is for another kind.

    A default runner is never given to a kind it isn't for, and a runner that isn't
    there is an error: bound-agent-resolution.
    """
    for one in view.kept:
        if one.runner is not None and BACKENDS[one.runner.backend] != one.kind:
            expected = BACKENDS[one.runner.backend]
            field = "runner_ref" if one.source == "agent_ref" else "runner"
            if one.source == "legacy_worker_binding":
                field = "profile.worker_binding"
            yield Finding(
                f"{one.place}.{field}",
                f"the runner {one.runner.backend!r} serves kind '{expected}', and"
                f" {one.agent.name!r} is of kind '{one.kind}'",
                "the runner is not used; drop it, or change the kind",
                element=one.element,
            )


LINT: Final = LintKind(
    "binding-resolution-error", "correctness", Level.WARN, "BindingLint", lint=check
)
