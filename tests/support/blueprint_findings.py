"""Findings of the compiler about a Blueprint."""

from typing import Any

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.blueprint.findings.diagnostics import Diagnostic


def refused(document: Any, **more: Any) -> list[Diagnostic]:
    """Return the findings with which the compiler refuses a document."""
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(document, **more)
    return list(caught.value.diagnostics)
