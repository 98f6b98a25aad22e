"""A node is told to write to something that is no path."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import targets_of
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each target that will fail when the node gets there."""
    for spot in view.spots:
        for place, target in targets_of(spot):
            if target["op"] != "path":
                message = f"'{target['op']}' can't be written to: this will fail"
                if spot.kind == "step":
                    message += ", and only after the agent has worked"
                hint = 'write {"op": "path", "at": "$.x"}'
                yield Finding(place, message, hint)


LINT: Final = LintKind(
    "write-target-is-no-path", "correctness", Level.WARN, "FlowLint", lint=check
)
