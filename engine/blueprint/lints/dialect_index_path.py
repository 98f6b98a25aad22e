"""A path looks as if it took an item of an array."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import paths_in, reads_of, show_keys
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each path read whose segment is a number: it is an object's key."""
    for spot in view.spots:
        for place, expr in reads_of(spot):
            for read in paths_in(place, expr):
                numbers = (k for k in read.keys if isinstance(k, str) and k.isdecimal())
                number = next(numbers, None)
                if number is not None:
                    yield Finding(
                        f"{read.place}.at",
                        f"{number!r} in {show_keys(read.keys)} is the key of an object, not"
                        " the index of an array",
                        f"dialect 'swarm' has [{number}] and [-1]; flow.ir can't index",
                    )


LINT: Final = LintKind(
    "dialect-index-path", "suspicious", Level.WARN, "DialectLint", lint=check
)
