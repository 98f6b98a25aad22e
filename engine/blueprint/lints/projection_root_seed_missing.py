"""A launch gives no directory that anyone could write to."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.kinds import KINDS
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.program import merge_init_ctx
from engine.blueprint.view import View
from engine.blueprint.visibility import PROJECT_ROOTS, sees


def check(view: View) -> Iterator[Finding]:
    """Yields a finding where the launch to be tried out names no visible root.

    A Blueprint needs one if it says so, by projection_placement or check_policy; else
    those agents do who answer in words and work somewhere.
    """
    blueprint, launch = view.blueprint, view.options.launch
    asked = blueprint.projection_placement is not None
    asked = asked or blueprint.check_policy in ("warn", "strict")
    concerned = [one for one in view.kept if asked or _answers(one)]
    if launch is None or not (asked or concerned):
        return
    ctx = merge_init_ctx(blueprint.default_init_ctx, launch)
    roots = ctx if isinstance(ctx, dict) else {}
    given = [field for field in PROJECT_ROOTS if roots.get(field)]
    if not given:
        yield Finding(
            "$",
            "neither the launch nor default_init_ctx gives project_root or work_dir",
            "name one of them at launch, or in default_init_ctx",
            element=ROOT,
        )
        return
    for one in concerned:
        if not any(sees(one.context_policy, field) for field in given):
            yield Finding(
                one.place,
                f"{one.agent.name!r} sees none of what the launch gives:"
                f" {', '.join(given)}",
                "give a root that its context policy leaves visible",
                element=one.element,
            )


def _answers(one: BoundAgent) -> bool:
    return one.kind in KINDS and KINDS[one.kind].answers


LINT: Final = LintKind(
    "projection-root-seed-missing",
    "contract",
    Level.WARN,
    "ContextPolicyLint",
    lint=check,
)
