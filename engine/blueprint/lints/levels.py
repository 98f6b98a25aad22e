"""The setting (allow, warn or deny) that applies to a finding.

The nearest layer that has a setting decides: the caller's, the agent's, the document's.
Inside a layer a kind beats a category, and a category beats `all`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Element, Level

# The level that each setting gives a finding; None allows the finding.
SETTINGS: Final[Mapping[str, Level | None]] = {
    "allow": None,
    "warn": Level.WARN,
    "deny": Level.ERROR,
}
CATEGORY: Final = "category:"
Layer: TypeAlias = tuple[str, Mapping[str, str]]


def declared_setting(
    view: View, kind: str, category: str, element: Element | None
) -> tuple[str, str] | None:
    """Return the document's setting for a kind and its layer."""
    return _nearest(_declared_layers(view, element), kind, category)


def setting_of(
    view: View, kind: str, category: str, element: Element | None
) -> tuple[str, str] | None:
    """Return the setting for a kind and its layer, which may be the caller's."""
    lints = view.options.lints.items()
    valid = {key: text.lower() for key, text in lints if text.lower() in SETTINGS}
    layers = [("call-site", valid), *_declared_layers(view, element)]
    return _nearest(layers, kind, category)


def _declared_layers(view: View, element: Element | None) -> Iterator[Layer]:
    if element is not None and element.type == "Agent":
        one = view.agents.get(element.name)
        if one is not None:
            yield f"agent:{element.name}", one.agent.lints or {}
    yield "blueprint", view.blueprint.metadata.lints or {}


def _nearest(
    layers: Iterable[Layer], kind: str, category: str
) -> tuple[str, str] | None:
    wanted = f"{CATEGORY}{category}"
    for source, layer in layers:
        group = next((key for key in layer if key.lower() == wanted), "all")
        setting = layer.get(kind) or layer.get(group)
        if setting is not None:
            return setting, source
    return None
