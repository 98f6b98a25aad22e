"""Which of allow, warn and deny applies to a finding (reference-language 5.3).

The nearest layer that says anything decides: the caller's, the agent's, the document's.
Inside a layer the exact kind beats the category, and the category beats `all`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from engine.blueprint.diagnostics import Element, Level
from engine.blueprint.view import View

SETTINGS: Final = ("allow", "warn", "deny")
CALL_SITE: Final = "call-site"
CATEGORY: Final = "category:"


def declared_setting(
    view: View, kind: str, category: str, element: Element | None
) -> tuple[str, str] | None:
    """Returns the setting the document declares for a kind and where it says so."""
    for source, layer in _layers(view, element):
        setting = _look_up(layer, kind, category)
        if setting is not None:
            return setting, source
    return None


def setting_of(
    view: View, kind: str, category: str, element: Element | None
) -> tuple[str, str] | None:
    """Returns the setting for a kind and its source, the caller's layer first."""
    called = {key: value.lower() for key, value in view.options.lints.items()}
    valid = {key: value for key, value in called.items() if value in SETTINGS}
    setting = _look_up(valid, kind, category)
    if setting is not None:
        return setting, CALL_SITE
    return declared_setting(view, kind, category, element)


def level_of(setting: str) -> Level | None:
    """Returns the level a setting means; None for a finding that is allowed."""
    return {"allow": None, "warn": Level.WARN, "deny": Level.ERROR}[setting]


def _layers(
    view: View, element: Element | None
) -> Iterator[tuple[str, Mapping[str, str]]]:
    if element is not None and element.type == "Agent":
        one = view.agents.get(element.name)
        if one is not None and one.agent.lints:
            yield f"agent:{element.name}", one.agent.lints
    if view.blueprint.metadata.lints:
        yield "blueprint", view.blueprint.metadata.lints


def _look_up(layer: Mapping[str, str], kind: str, category: str) -> str | None:
    if kind in layer:
        return layer[kind]
    for key, setting in layer.items():
        name = key.lower()
        if name.startswith(CATEGORY) and name.removeprefix(CATEGORY) == category:
            return setting
    return layer.get("all")
