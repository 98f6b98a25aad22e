"""A condition compares a verdict with a value the agent can never give."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contracts_of
from engine.blueprint.diagnostics import Element, Finding, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View
from engine.flow import dump_compact
from engine.flow.json_text import Json


def check(view: View) -> Iterator[Finding]:
    """Yields each literal outside the contracts of all that may have answered."""
    for test in view.tests:
        contracts = {
            ref: contract
            for ref, contract in contracts_of(view, test).items()
            if contract.channel == test.channel
        }
        if not contracts:
            continue
        declared = [value for one in contracts.values() for value in one.values]
        for value in test.values:
            if _text(value) in declared:
                continue
            ref = next(iter(contracts))
            hint = did_you_mean(_text(value), declared)
            patch = Suggestion("use a declared value", dump_compact(declared[:1]))
            yield Finding(
                test.literal,
                f"{test.where} compares the verdict of {ref!r} with {_text(value)!r},"
                " which its contract doesn't declare",
                hint or "declare it in the contract's values",
                suggestion=patch,
                element=Element("Agent", ref),
            )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else dump_compact(value)


LINT: Final = LintKind("verdict-value-not-in-contract", "contract", compile=check)
