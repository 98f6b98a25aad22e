"""A fanout collects the whole document of each lane."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.flow_walk import (
    Spot,
    children_of,
    is_empty,
    show_keys,
    walk_nodes,
    writes_of,
)
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.flow import dump_compact

JOINS: Final = ("all", "all_settled")


def check(view: View) -> Iterator[Finding]:
    """Yields each such fanout: a note in flow.ir, a warning where `select` exists."""
    swarm = view.blueprint.dialect == "swarm"
    for spot in view.spots:
        if spot.kind != "fanout" or spot.node["join"] not in JOINS:
            continue
        if spot.node.get("select") is not None or is_empty(spot.node["body"]):
            continue
        hint = "add select, an expression on the lane's final document"
        if not swarm:
            hint = "dialect 'swarm' has fanout.select, which collects one value a lane"
        select = dump_compact({"op": "path", "at": _written(spot)})
        yield Finding(
            spot.place,
            "each item of the result is a copy of the whole document",
            hint,
            suggestion=Suggestion("with dialect swarm", f'"select": {select}'),
            level=Level.WARN if swarm else None,
        )


def _written(fanout: Spot) -> str:
    """Returns the last path that a lane writes: most likely its result."""
    below = [one for child in children_of(fanout) for one in walk_nodes(child.node)]
    paths = [keys for one in below for _, keys in writes_of(one)]
    return show_keys(paths[-1]) if paths else "$"


LINT: Final = LintKind(
    "fanout-collects-documents", "style", Level.INFO, "FlowLint", lint=check
)
