"""Two agents have one name."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each agent whose name is taken already."""
    for one in view.bound:
        first = view.agents[one.agent.name]
        if first is not one:
            message = f"agent name {one.agent.name!r} is taken by {first.place}"
            place = f"{one.place}.name"
            yield Finding(place, message, "rename one", element=one.element)


LINT: Final = LintKind("duplicate-agent-name", "correctness", compile=check)
