"""An agent is of a kind that this installation can't run."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.kinds import KINDS
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent of a known kind without a spawner here."""
    if view.blueprint.strategy.strict_kind:
        yield from _findings(view)


def warn(view: View) -> Iterator[Finding]:
    """Yields each agent that the strategy drops for want of a spawner."""
    if not view.blueprint.strategy.strict_kind:
        yield from _findings(view)


def _findings(view: View) -> Iterator[Finding]:
    if view.kinds is None:
        return
    here = f"kinds with a spawner here: {', '.join(sorted(view.kinds)) or 'none'}"
    for one in view.bound:
        if one.kind in KINDS and one.kind not in view.kinds:
            message = f"kind '{one.kind}' has no spawner in this installation"
            place = f"{one.place}.kind"
            if one.agent.kind is None:
                place = "$.default_agent_kind"
            yield Finding(place, message, here, element=one.element)


LINT: Final = LintKind(
    "kind-without-spawner",
    "correctness",
    Level.WARN,
    "StrategyLint",
    compile=check,
    lint=warn,
)
