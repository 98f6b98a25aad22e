"""An agent may say that there is nothing to do, and nobody skips on it."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.contracts import contract_agents, verdict_place
from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View

SKIP_LIKE: Final = frozenset({"skip", "not_applicable", "n/a"})


def check(view: View) -> Iterator[Finding]:
    """Yields each skip-like value, of any case, that guards nothing."""
    guarded: dict[str, set[str]] = {}
    for test in view.tests:
        for ref in test.producers if test.idle else ():
            texts = (v.casefold() for v in test.values if isinstance(v, str))
            guarded.setdefault(ref, set()).update(texts)
    for one, contract in contract_agents(view):
        for number, value in enumerate(contract.values):
            word = value.casefold()
            if word in SKIP_LIKE and word not in guarded.get(one.agent.name, set()):
                yield Finding(
                    f"{verdict_place(one)}.values[{number}]",
                    f"{one.agent.name!r} may say {value!r}, and no later work is"
                    " skipped on it",
                    "guard the next stage with it",
                    suggestion=Suggestion(
                        "in the Lua DSL", f'skip_on = {{"{value}"}},'
                    ),
                    element=one.element,
                )


LINT: Final = LintKind(
    "skip-on-missing-for-skip-like-verdict-value",
    "suspicious",
    Level.WARN,
    "SkipOnLint",
    lint=check,
)
