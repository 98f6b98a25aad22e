"""A loop hands a fanout one batch after the other, to bound what runs at once."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import Keys, Spot, children_of, keys_of, writes_of
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each fanout right inside a loop that also writes its items."""
    for spot in view.spots:
        if spot.kind != "loop":
            continue
        inside = children_of(spot)
        if inside[0].kind == "seq":
            inside = children_of(inside[0])
        written = _written(inside)
        for one in inside:
            items = one.node["items"] if one.kind == "fanout" else {"op": ""}
            if items["op"] == "path" and keys_of(items["at"]) in written:
                yield Finding(
                    one.place,
                    "the loop feeds this fanout batch by batch",
                    "dialect 'swarm' has fanout.max_parallel, which keeps lanes busy",
                )


def _written(spots: list[Spot]) -> set[Keys]:
    return {
        keys
        for spot in spots
        if spot.kind in ("step", "assign", "let")
        for _, keys in writes_of(spot)
    }


LINT: Final = LintKind(
    "dialect-max-parallel", "style", Level.INFO, "DialectLint", lint=check
)
