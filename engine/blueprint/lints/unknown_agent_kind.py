"""An agent has no kind, or one that nobody knows."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import KIND_ALIASES, BoundAgent
from engine.blueprint.diagnostics import Finding, Level
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
    for one in view.bound:
        if one.kind not in KINDS and one.kind not in (view.kinds or ()):
            yield _finding(view, one)


def _finding(view: View, one: BoundAgent) -> Finding:
    written = one.agent.kind or view.blueprint.default_agent_kind
    if written is None:
        message = f"agent {one.agent.name!r} has no kind"
        hint = "write 'kind' here, or 'default_agent_kind' at the top"
        return Finding(one.place, message, hint, element=one.element)
    place = f"{one.place}.kind"
    if one.agent.kind is None:
        place = "$.default_agent_kind"
    hint = did_you_mean(written, [*KINDS, *KIND_ALIASES, *(view.kinds or ())])
    return Finding(place, f"unknown kind {written!r}", hint, element=one.element)


LINT: Final = LintKind(
    "unknown-agent-kind",
    "correctness",
    Level.WARN,
    "StrategyLint",
    compile=check,
    lint=warn,
)
