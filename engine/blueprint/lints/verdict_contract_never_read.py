"""An agent promises a verdict and no condition looks at it."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contract_agents, verdict_place
from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each contract whose verdict no condition compares with anything.

    A comparison with a value outside the contract is an error of its own.
    """
    for one, contract in contract_agents(view):
        name = one.agent.name
        named = view.named_verdicts.get(name, set())
        if name not in view.compared and named.isdisjoint(contract.values):
            yield Finding(
                verdict_place(one),
                f"no condition reads the verdict of {name!r}",
                "add a gate after its step, or drop the contract",
                suggestion=Suggestion("in the Lua DSL", "gate = true,"),
                element=one.element,
            )


LINT: Final = LintKind(
    "verdict-contract-never-read",
    "suspicious",
    Level.WARN,
    "VerdictContractLint",
    lint=check,
)
