"""A condition compares the text of a caught error."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import keys_of, reads_of, walk_expr
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.flow.json_text import Json

COMPARISONS: Final = ("eq", "ne", "in", "lt", "lte", "gt", "gte")


def check(view: View) -> Iterator[Finding]:
    """Yields each comparison with a path that some try's err_at writes as text."""
    errors = {
        keys_of(spot.node["err_at"]["at"])
        for spot in view.spots
        if spot.kind == "try"
        and (spot.node.get("err_at") or {}).get("op") == "path"
        and spot.node.get("err_as", "text") == "text"
    }
    for spot in view.spots if errors else ():
        for place, expr in reads_of(spot):
            for at, part in walk_expr(place, expr):
                if part["op"] in COMPARISONS and any(
                    side["op"] == "path" and keys_of(side["at"]) in errors
                    for side in _sides(part)
                ):
                    yield Finding(
                        at,
                        "the text of an error is for people; its wording may change",
                        "dialect 'swarm' has try.err_as: 'object' gives kind and ref",
                    )


def _sides(part: Json) -> list[Json]:
    keys = ("needle", "haystack") if part["op"] == "in" else ("lhs", "rhs")
    return [part[key] for key in keys]


LINT: Final = LintKind("dialect-err-as", "style", Level.INFO, "DialectLint", lint=check)
