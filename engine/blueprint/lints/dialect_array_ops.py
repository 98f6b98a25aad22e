"""A fanout without agents does what `map` or `filter` of dialect swarm do."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import is_empty, walk_nodes
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each fanout whose lanes have no step."""
    for spot in view.spots:
        if spot.kind != "fanout" or is_empty(spot.node["body"]):
            continue
        if all(one.kind != "step" for one in walk_nodes(spot.node)):
            yield Finding(
                spot.place,
                "the lanes only compute: no agent works in them",
                "dialect 'swarm' has the expressions map, filter, any and all over"
                " an array",
            )


LINT: Final = LintKind(
    "dialect-array-ops", "style", Level.INFO, "DialectLint", lint=check
)
