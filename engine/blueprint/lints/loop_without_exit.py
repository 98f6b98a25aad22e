"""A loop's condition can't change while it runs."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import (
    UNKNOWN,
    Keys,
    Spot,
    children_of,
    constant_of,
    paths_in,
    walk_expr,
    writes_of,
)
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each loop that, once begun, always goes on to its max."""
    for spot in view.spots:
        if spot.kind != "loop" or spot.node["max"] < 2:
            continue
        place, cond = f"{spot.place}.cond", spot.node["cond"]
        if any(part["op"] == "call_extern" for _, part in walk_expr(place, cond)):
            continue
        value = constant_of(cond)
        if value is not UNKNOWN and (value is None or value is False):
            # The body is unreachable, which is told already.
            continue
        read = {one.keys for one in paths_in(place, cond)}
        if not _meet(read, set(_written(spot))):
            yield Finding(
                place,
                f"nothing in the loop changes its cond: it always runs {spot.node['max']}"
                " times or never",
                "write one of the paths the cond reads, or compare the counter",
            )


def _meet(read: set[Keys], written: set[Keys]) -> bool:
    """Tells whether a path of one set lies on or below one of the other."""
    return any(
        keys[:size] in others
        for paths, others in ((read, written), (written, read))
        for keys in paths
        for size in range(len(keys) + 1)
    )


def _written(loop: Spot) -> Iterator[Keys]:
    """Yields what the loop writes where its cond can see it."""
    yield from (keys for _, keys in writes_of(loop))
    inside = [Spot(f"{loop.place}.body", loop.node["body"])]
    while inside:
        spot = inside.pop()
        for place, keys in writes_of(spot):
            if not (spot.kind == "fanout" and place.endswith(".bind")):
                yield keys
        if spot.kind != "fanout":
            inside.extend(children_of(spot))


LINT: Final = LintKind(
    "loop-without-exit", "suspicious", Level.WARN, "FlowLint", lint=check
)
