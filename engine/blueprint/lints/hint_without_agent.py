"""Hints are given for an agent that isn't there."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding, place_in
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each name under hints.per_agent that no agent has."""
    for name in view.blueprint.hints.per_agent:
        if name not in view.agents:
            message = f"hints name the agent {name!r}, which does not exist"
            place = place_in("$.hints.per_agent", [name])
            hint = did_you_mean(name, view.agents)
            yield Finding(place, message, hint, element=ROOT)


LINT: Final = LintKind("hint-without-agent", "correctness", compile=check)
