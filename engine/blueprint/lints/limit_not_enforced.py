"""A limit on attempts at once is kept with the Blueprint, and nothing enforces it yet."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent whose hints have a limit."""
    for one in view.kept:
        hints = view.blueprint.hints.per_agent.get(one.agent.name)
        if hints is None or hints.limit is None:
            continue
        yield Finding(
            one.place,
            f"the limit of {one.agent.name!r} is not enforced yet",
            "bound the work by the number of workers of a queue of its own; dialect"
            " 'swarm' also has fanout.max_parallel",
            element=one.element,
        )


LINT: Final = LintKind(
    "limit-not-enforced", "suspicious", Level.INFO, "FlowLint", lint=check
)
