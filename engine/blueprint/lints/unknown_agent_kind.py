"""An agent has no kind, or one that nobody knows; so may all that name none."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import KIND_ALIASES
from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.kinds import KINDS
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent without a known kind, unless the strategy drops them."""
    if view.blueprint.strategy.strict_kind:
        yield from _findings(view)


def warn(view: View) -> Iterator[Finding]:
    """Yields each agent that the strategy drops for its kind."""
    if not view.blueprint.strategy.strict_kind:
        yield from _findings(view)


def _findings(view: View) -> Iterator[Finding]:
    known = {*KINDS, *KIND_ALIASES, *(view.kinds or ())}
    default = view.blueprint.default_agent_kind
    # A slip there is one although every agent has a kind of its own so far.
    if default is not None and default not in known:
        hint = did_you_mean(default, known)
        message = f"unknown kind {default!r}"
        yield Finding("$.default_agent_kind", message, hint, element=ROOT)
    for one in view.bound:
        written = one.agent.kind
        if not written and default is None:
            message = f"agent {one.agent.name!r} has no kind"
            hint = "write 'kind' here, or 'default_agent_kind' at the top"
            yield Finding(one.place, message, hint, element=one.element)
        elif written and written not in known:
            message, hint = f"unknown kind {written!r}", did_you_mean(written, known)
            yield Finding(f"{one.place}.kind", message, hint, element=one.element)


LINT: Final = LintKind(
    "unknown-agent-kind",
    "correctness",
    Level.WARN,
    "StrategyLint",
    compile=check,
    lint=warn,
)
