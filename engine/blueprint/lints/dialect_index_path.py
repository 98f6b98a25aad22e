"""A path looks as if it took an item of an array."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import Keys, paths_in, reads_of, show_keys
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.program import merge_init_ctx
from engine.blueprint.view import View
from engine.flow.json_text import Json


def check(view: View) -> Iterator[Finding]:
    """Yields each path read whose segment is a number and no key that is known."""
    given = merge_init_ctx(view.blueprint.default_init_ctx, view.options.launch)
    for spot in view.spots:
        for place, expr in reads_of(spot):
            for read in paths_in(place, expr):
                number = _number(read.keys, given)
                if number is not None:
                    yield Finding(
                        f"{read.place}.at",
                        f"{number!r} in {show_keys(read.keys)} is the key of an object, not"
                        " the index of an array",
                        f"dialect 'swarm' has [{number}] and [-1]; flow.ir can't index",
                    )


def _number(keys: Keys, given: Json) -> str | None:
    """Returns the first key that looks like an index and isn't given as a key."""
    for key in keys:
        here = given if isinstance(given, dict) else {}
        if isinstance(key, str) and key.isdecimal() and key not in here:
            return key
        given = here.get(key)
    return None


LINT: Final = LintKind(
    "dialect-index-path", "suspicious", Level.WARN, "DialectLint", lint=check
)
