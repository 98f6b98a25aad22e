"""An agent may give a verdict that no condition asks for."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contract_agents, verdict_place
from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.levels import declared_setting
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import listed
from engine.blueprint.view import View

NAME: Final = "verdict-value-unhandled"


def check(view: View) -> Iterator[Finding]:
    """Yields each value no condition names, where the document wants an error.

    With strict_verdict_handling every value must be named. Denied, one value may stay
    for the other arm: a gate that only halts leaves PASS to it.
    """
    strict = bool(view.blueprint.metadata.strict_verdict_handling)
    for found in _findings(view, strict):
        element = found.element
        setting = declared_setting(view, NAME, "suspicious", element)
        if strict or (setting is not None and setting[0] == "deny"):
            yield found


def warn(view: View) -> Iterator[Finding]:
    """Yields the values that end in one arm together without being named."""
    if not view.blueprint.metadata.strict_verdict_handling:
        yield from _findings(view, strict=False)


def _findings(view: View, strict: bool) -> Iterator[Finding]:
    for one, contract in contract_agents(view):
        named = view.named_verdicts.get(one.agent.name, set())
        left = [
            (number, value)
            for number, value in enumerate(contract.values)
            if value not in named
        ]
        # Nothing named at all is verdict-contract-never-read.
        if not strict and (len(left) < 2 or len(left) == len(contract.values)):
            continue
        declared = f"declared: {listed(contract.values)}"
        for number, value in left:
            yield Finding(
                f"{verdict_place(one)}.values[{number}]",
                f"no condition asks whether {one.agent.name!r} said {value!r}",
                "name it in a branch or loop cond, or drop it from the contract",
                (declared,),
                element=one.element,
            )


LINT: Final = LintKind(
    NAME, "suspicious", Level.WARN, "VerdictContractLint", compile=check, lint=warn
)
