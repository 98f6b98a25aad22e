"""A branch after a loop asks whether the loop ran out of rounds."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import Keys, Spot, children_of, keys_of, walk_expr
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

COMPARISONS: Final = ("eq", "ne", "lt", "lte", "gt", "gte")


def check(view: View) -> Iterator[Finding]:
    """Yields each branch that compares a loop's counter with the loop's max."""
    for spot in view.spots:
        if spot.kind != "seq":
            continue
        limits: dict[Keys, int] = {}
        for child in children_of(spot):
            if child.kind == "loop" and child.node["counter"]["op"] == "path":
                counter = keys_of(child.node["counter"]["at"])
                limits[counter] = child.node["max"]
            elif child.kind == "branch" and limits:
                yield from _asked(child, limits)


def _asked(branch: Spot, limits: dict[Keys, int]) -> Iterator[Finding]:
    for at, part in walk_expr(f"{branch.place}.cond", branch.node["cond"]):
        if part["op"] not in COMPARISONS:
            continue
        sides = {part[side]["op"]: part[side] for side in ("lhs", "rhs")}
        if sides.keys() != {"path", "lit"}:
            continue
        limit = limits.get(keys_of(sides["path"]["at"]))
        if limit is not None and sides["lit"]["value"] == limit:
            yield Finding(
                at,
                "the cond asks whether the loop ran out of rounds",
                "dialect 'swarm' has loop.on_max: 'fail' makes that an error",
            )


LINT: Final = LintKind("dialect-on-max", "style", Level.INFO, "DialectLint", lint=check)
