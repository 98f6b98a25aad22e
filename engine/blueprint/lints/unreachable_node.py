"""A part of the flow never runs."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import UNKNOWN, Spot, constant_of, is_empty
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each arm or body that a constant shuts off and that isn't empty."""
    for spot in view.spots:
        arm, why = _shut(spot)
        if arm and not is_empty(spot.node[arm]):
            place = f"{spot.place}.{arm}"
            yield Finding(place, f"never runs: {why}", "drop it, or mend what decides")


def _shut(spot: Spot) -> tuple[str, str]:
    match spot.kind:
        case "branch":
            value = constant_of(spot.node["cond"])
            if isinstance(value, bool):
                word = "true" if value else "false"
                return ("else" if value else "then"), f"the cond is always {word}"
        case "loop":
            if spot.node["max"] == 0:
                return "body", "max is 0"
            value = constant_of(spot.node["cond"])
            if value is not UNKNOWN and (value is None or value is False):
                return "body", "the cond is always false"
        case "fanout":
            if constant_of(spot.node["items"]) == []:
                return "body", "there are no items"
    return "", ""


LINT: Final = LintKind(
    "unreachable-node", "suspicious", Level.WARN, "FlowLint", lint=check
)
