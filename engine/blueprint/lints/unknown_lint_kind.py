"""A lints map says something that means nothing."""

from collections.abc import Iterator, Mapping
from typing import Final

from engine.blueprint.diagnostics import ROOT, Element, Finding, Level, place_in
from engine.blueprint.levels import CATEGORY, SETTINGS
from engine.blueprint.lint_kind import CATEGORIES, LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each key that is no kind, category or `all`, and each unknown value."""
    for one in view.bound:
        layer = one.agent.lints or {}
        yield from _keys(view, f"{one.place}.lints", layer, one.element)
    layer = view.blueprint.metadata.lints or {}
    yield from _keys(view, "$.metadata.lints", layer, ROOT)
    for found in _keys(view, "", view.options.lints, ROOT):
        yield Finding("$", f"asked for: {found.message}", found.help, element=ROOT)
    for key, value in view.options.lints.items():
        if value.lower() not in SETTINGS:
            message = f"asked for: unknown setting {value!r} of {key!r}"
            yield Finding("$", message, did_you_mean(value, SETTINGS), element=ROOT)


def _keys(
    view: View, place: str, layer: Mapping[str, str], element: Element
) -> Iterator[Finding]:
    known = ["all", *view.lint_kinds, *(f"{CATEGORY}{name}" for name in CATEGORIES)]
    for key in layer:
        name = key.lower() if key.lower().startswith(CATEGORY) else key
        if name not in known:
            hint = (
                did_you_mean(key, known) if _near(key, known) else "see docs/lints.md"
            )
            at = place_in(place, [key])
            yield Finding(at, f"unknown lint {key!r}", hint, element=element)


def _near(key: str, known: list[str]) -> bool:
    return did_you_mean(key, known).startswith("did")


LINT: Final = LintKind(
    "unknown-lint-kind", "suspicious", Level.WARN, "LintControl", lint=check
)
