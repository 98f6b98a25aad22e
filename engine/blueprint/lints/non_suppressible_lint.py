"""A lints map tries to allow what is always an error."""

from collections.abc import Iterator, Mapping
from typing import Final

from engine.blueprint.diagnostics import ROOT, Element, Finding, Level, place_in
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each exact kind of an error that a layer wants allowed or softened."""
    for one in view.bound:
        layer = one.agent.lints or {}
        yield from _keys(view, f"{one.place}.lints", layer, one.element)
    layer = view.blueprint.metadata.lints or {}
    yield from _keys(view, "$.metadata.lints", layer, ROOT)
    for found in _keys(view, "", view.options.lints, ROOT):
        yield Finding("$", f"asked for: {found.message}", found.help, element=ROOT)


def _keys(
    view: View, place: str, layer: Mapping[str, str], element: Element
) -> Iterator[Finding]:
    for key, setting in layer.items():
        if view.lint_kinds.get(key, True) or setting.lower() == "deny":
            continue
        at = place_in(place, [key])
        message = f"{key!r} is always an error; {setting!r} changes nothing"
        yield Finding(at, message, "drop the line", element=element)


LINT: Final = LintKind(
    "non-suppressible-lint", "suspicious", Level.WARN, "LintControl", lint=check
)
