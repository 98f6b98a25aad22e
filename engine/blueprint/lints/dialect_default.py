"""A branch does what `default` of dialect swarm does in one word."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import (
    Keys,
    Spot,
    children_of,
    is_empty,
    keys_of,
    show_keys,
    targets_of,
)
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each branch on the existence of a path that only fills it in."""
    for spot in view.spots:
        if spot.kind != "branch":
            continue
        cond, absent = spot.node["cond"], "else"
        if cond["op"] == "not":
            cond, absent = cond["arg"], "then"
        if cond["op"] != "exists" or cond["arg"]["op"] != "path":
            continue
        keys = keys_of(cond["arg"]["at"])
        arms = {child.arm: child for child in children_of(spot)}
        present = "then" if absent == "else" else "else"
        target = _assigned(arms[absent])
        if target is None:
            continue
        fills = is_empty(arms[present].node) and target == keys
        picks = _assigned(arms[present]) == target and _copies(arms[present], keys)
        if fills or picks:
            path = show_keys(keys)
            yield Finding(
                spot.place,
                f"the branch only gives {path} a value where it has none",
                'dialect \'swarm\' says {"op": "default", "arg": ..., "fallback": ...}',
            )


def _assigned(spot: Spot) -> Keys | None:
    """Returns the path of an arm that is one assign."""
    while spot.kind == "seq" and len(spot.node["children"]) == 1:
        spot = children_of(spot)[0]
    if spot.kind not in ("assign", "let"):
        return None
    for _, target in targets_of(spot):
        if target["op"] == "path":
            return keys_of(target["at"])
    return None


def _copies(spot: Spot, keys: Keys) -> bool:
    while spot.kind == "seq":
        spot = children_of(spot)[0]
    value = spot.node["value"]
    return bool(value["op"] == "path" and keys_of(value["at"]) == keys)


LINT: Final = LintKind(
    "dialect-default", "style", Level.INFO, "DialectLint", lint=check
)
