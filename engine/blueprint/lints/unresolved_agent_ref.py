"""A step names an agent that isn't there."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Element, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean, listed
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each step without an agent, unless the strategy lets them fail."""
    if view.blueprint.strategy.strict_refs:
        yield from _findings(view)


def warn(view: View) -> Iterator[Finding]:
    """Yields each step that will fail for want of an agent."""
    if not view.blueprint.strategy.strict_refs:
        yield from _findings(view)


def _findings(view: View) -> Iterator[Finding]:
    names = [one.agent.name for one in view.kept]
    known = set(names)
    for spot in view.steps:
        ref = spot.node["ref"]
        if ref in known:
            continue
        message = f"step names the agent {ref!r}, which does not exist"
        hint = did_you_mean(ref, names) or "the Blueprint has no agents"
        if ref in view.agents:
            if view.blueprint.strategy.strict_kind:
                # Its kind is told already, and is all there is to mend.
                continue
            message = f"step names the agent {ref!r}, which was dropped for its kind"
            hint = f"see {view.agents[ref].place}.kind"
        yield Finding(
            f"{spot.place}.ref",
            message,
            hint,
            (f"defined: {listed(names)}",),
            element=Element("Step", ref),
        )


LINT: Final = LintKind(
    "unresolved-agent-ref",
    "correctness",
    Level.WARN,
    "StrategyLint",
    compile=check,
    lint=warn,
)
