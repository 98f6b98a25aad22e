"""An agent asks for a seat that no operator definition has."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean, listed
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each operator agent whose operator_ref leads nowhere."""
    names = view.operator_names
    for one in view.bound:
        spec = one.agent.spec
        ref = spec.get("operator_ref") if isinstance(spec, dict) else None
        if one.kind != "operator" or not isinstance(ref, str) or ref in names:
            continue
        yield Finding(
            f"{one.place}.spec.operator_ref",
            f"agent {one.agent.name!r} names the operator {ref!r}, which isn't there",
            did_you_mean(ref, names) or "add it to $.operators",
            (f"defined: {listed(names)}",),
            element=one.element,
        )


LINT: Final = LintKind("unresolved-operator-ref", "correctness", compile=check)
