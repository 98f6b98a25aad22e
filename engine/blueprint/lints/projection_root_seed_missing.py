"""A launch gives no directory that anyone could write to."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.blueprint.visibility import PROJECT_ROOTS, sees


def check(view: View) -> Iterator[Finding]:
    """Yields a finding where the launch to be tried out names no visible root."""
    launch = view.options.launch
    if launch is None:
        return
    given = [field for field in PROJECT_ROOTS if launch.get(field)]
    if not given:
        yield Finding(
            "$",
            "the launch gives neither project_root nor work_dir",
            "name one of them at launch, or in default_init_ctx",
            element=ROOT,
        )
        return
    for one in view.kept:
        if not any(sees(one.context_policy, field) for field in given):
            yield Finding(
                one.place,
                f"{one.agent.name!r} sees none of what the launch gives:"
                f" {', '.join(given)}",
                "give a root that its context policy leaves visible",
                element=one.element,
            )


LINT: Final = LintKind(
    "projection-root-seed-missing",
    "contract",
    Level.WARN,
    "ContextPolicyLint",
    lint=check,
)
