"""An agent that waits for others has no timeout of its own."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.flow import dump_compact

KINDS: Final = ("operator", "subprocess")


def check(view: View) -> Iterator[Finding]:
    """Yields each operator or subprocess agent without hints.per_agent timeout_s."""
    hints = view.blueprint.hints.per_agent
    for one in view.kept:
        name = one.agent.name
        if one.kind not in KINDS or (
            name in hints and hints[name].timeout_s is not None
        ):
            continue
        patch = (
            f'"hints": {{"per_agent": {{{dump_compact(name)}: {{"timeout_s": 60}}}}}}'
        )
        yield Finding(
            one.place,
            f"{one.kind} agent {name!r} has no timeout of its own",
            "say in hints.per_agent how many seconds an attempt may take",
            suggestion=Suggestion("for example", patch, "HasPlaceholders"),
            element=one.element,
        )


LINT: Final = LintKind(
    "missing-timeout", "suspicious", Level.WARN, "FlowLint", lint=check
)
