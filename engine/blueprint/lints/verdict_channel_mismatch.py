"""A condition looks for a verdict where the agent's contract doesn't put it."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contracts_of
from engine.blueprint.diagnostics import Element, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

SHAPES: Final = {"body": "the answer itself", "part": "the part 'verdict'"}


def check(view: View) -> Iterator[Finding]:
    """Yields each test that none of the agents that may have answered can meet."""
    for test in view.tests:
        contracts = contracts_of(view, test)
        if not contracts or test.open or not test.foreign:
            # The value may well stand there, whoever wrote it.
            continue
        if any(contract.channel == test.channel for contract in contracts.values()):
            continue
        ref, contract = next(iter(contracts.items()))
        yield Finding(
            test.place,
            f"{test.where} reads {SHAPES[test.channel]} of {ref!r}, whose contract says"
            f" channel '{contract.channel}'",
            f"read {SHAPES[contract.channel]}, or change the contract's channel",
            element=Element("Agent", ref),
        )


LINT: Final = LintKind("verdict-channel-mismatch", "contract", compile=check)
