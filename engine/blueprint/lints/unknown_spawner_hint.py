"""A layer is asked for that nobody knows."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View

LAYERS: Final = ("main_ai", "senior_escalation", "operator_delegate")


def check(view: View) -> Iterator[Finding]:
    """Yields each unknown name in spawner_hints.layers."""
    for number, layer in enumerate(view.blueprint.spawner_hints.layers):
        if layer not in LAYERS:
            place = f"$.spawner_hints.layers[{number}]"
            message = f"unknown layer {layer!r}"
            hint = did_you_mean(layer, LAYERS)
            yield Finding(place, message, hint, element=ROOT)


LINT: Final = LintKind("unknown-spawner-hint", "correctness", compile=check)
