"""An audit names an agent that isn't there."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean, listed
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each audit whose agent leads nowhere."""
    for number, audit in enumerate(view.blueprint.audits):
        if audit.agent not in view.agents:
            yield Finding(
                f"$.audits[{number}].agent",
                f"the audit names the agent {audit.agent!r}, which isn't there",
                did_you_mean(audit.agent, view.agents) or "add it to $.agents",
                (f"defined: {listed(view.agents)}",),
                element=ROOT,
            )


LINT: Final = LintKind("unresolved-audit-agent", "correctness", compile=check)
