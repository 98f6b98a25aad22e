"""A fanout may put any number of people or models to work at once."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import UNKNOWN, Spot, constant_of, walk_nodes
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

# Kinds that hold no worker while they work, so that the fleet doesn't bound them.
UNBOUNDED: Final = frozenset({"operator", "agent_block"})


def check(view: View) -> Iterator[Finding]:
    """Yields each fanout over items of unknown number whose lanes nothing bounds."""
    hints = view.blueprint.hints.per_agent
    for spot in view.spots:
        if spot.kind != "fanout" or spot.node.get("max_parallel") is not None:
            continue
        if constant_of(spot.node["items"]) is not UNKNOWN:
            continue
        for ref in _refs(spot):
            one = view.agents.get(ref)
            if one is None or one.kind not in UNBOUNDED:
                continue
            if ref in hints and hints[ref].limit is not None:
                continue
            yield Finding(
                f"{spot.place}.items",
                f"as many {ref!r} work at once as there are items",
                "give the agent a limit under hints.per_agent; dialect 'swarm' also has"
                " fanout.max_parallel",
            )
            break


def _refs(spot: Spot) -> list[str]:
    return [one.node["ref"] for one in walk_nodes(spot.node) if one.kind == "step"]


LINT: Final = LintKind(
    "fanout-unbounded", "suspicious", Level.WARN, "FlowLint", lint=check
)
