"""Work is skipped on a verdict that nobody gives."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.dataflow import Test
from engine.blueprint.diagnostics import Element, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each value of a skip guard that no agent in question declares."""
    known: dict[frozenset[str], set[str]] = {}
    for test in view.tests:
        if not test.skip or test.channel != "part" or (test.open and test.producers):
            continue
        if test.producers not in known:
            known[test.producers] = _declared(view, test)
        declared = known[test.producers]
        for place, value in test.foreign:
            if isinstance(value, str) and value not in declared:
                ref = next(iter(sorted(test.producers)), "")
                yield Finding(
                    place,
                    f"the guard skips on {value!r}, which no agent declares",
                    did_you_mean(value, declared) or "declare it in a verdict contract",
                    element=Element("Step", ref) if ref else None,
                )


def _declared(view: View, test: Test) -> set[str]:
    """Returns what those who may have answered declare; all, where nobody is known."""
    refs = test.producers or view.agents.keys()
    contracts = [view.agents[ref].agent.verdict for ref in refs if ref in view.agents]
    return {value for one in contracts if one is not None for value in one.values}


LINT: Final = LintKind(
    "skip-on-declared-but-no-matching-verdict-value",
    "suspicious",
    Level.WARN,
    "SkipOnLint",
    lint=check,
)
