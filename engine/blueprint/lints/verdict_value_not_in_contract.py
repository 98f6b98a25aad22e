"""A condition compares a verdict with a value the agent can never give."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contracts_of
from engine.blueprint.dataflow import text_of
from engine.blueprint.diagnostics import Element, Finding, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean, nearest
from engine.blueprint.view import View
from engine.flow import dump_compact


def check(view: View) -> Iterator[Finding]:
    """Yields each literal outside the contracts of all that may have answered.

    What the document may have put there itself is no slip; where anything else may
    stand, nothing can be said.
    """
    values: dict[tuple[frozenset[str], str], set[str]] = {}
    for test in view.tests:
        contracts = {
            ref: contract
            for ref, contract in contracts_of(view, test).items()
            if contract.channel == test.channel
        }
        if not contracts or test.open:
            continue
        key = (test.producers, test.channel)
        if key not in values:
            values[key] = {value for one in contracts.values() for value in one.values}
        declared = values[key]
        for place, value in test.foreign:
            text = text_of(value)
            if text in declared:
                continue
            ref, known = next(iter(contracts)), declared | test.given
            patch = dump_compact(nearest(text, known))
            yield Finding(
                place,
                f"{test.where} compares the verdict of {ref!r} with {text!r},"
                " which its contract doesn't declare",
                did_you_mean(text, known),
                suggestion=Suggestion("use a value that may stand there", patch),
                element=Element("Agent", ref),
            )


LINT: Final = LintKind("verdict-value-not-in-contract", "contract", compile=check)
