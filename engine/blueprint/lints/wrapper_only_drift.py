"""A wrapper grants tools that the Blueprint doesn't declare."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_runners import WsClaudeCode, WsOperator
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent whose wrapper file is known and grants more."""
    for one in view.kept:
        if not isinstance(one.runner, WsOperator | WsClaudeCode):
            continue
        granted = view.options.wrappers.get(one.runner.variant)
        more = sorted(set(granted or ()).difference(one.tools))
        if more:
            yield Finding(
                one.place,
                f"the wrapper {one.runner.variant!r} of {one.agent.name!r} also grants"
                f" {', '.join(more)}",
                "declare the tools in the runner, or take them from the wrapper",
                element=one.element,
            )


LINT: Final = LintKind(
    "wrapper-only-drift", "contract", Level.INFO, "WrapperOnly", lint=check
)
