"""A context policy hides every place an agent could write to."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.blueprint.visibility import PROJECT_ROOTS, sees


def check(view: View) -> Iterator[Finding]:
    """Yields each agent that sees neither project_root nor work_dir."""
    for one in view.kept:
        policy = one.context_policy
        if any(sees(policy, field) for field in PROJECT_ROOTS):
            continue
        meta = one.agent.meta
        own = meta is not None and meta.context_policy is not None
        yield Finding(
            f"{one.place}.meta.context_policy" if own else "$.default_context_policy",
            f"{one.agent.name!r} sees neither project_root nor work_dir",
            "leave one of them visible, or allow this lint for the agent",
            element=one.element,
        )


LINT: Final = LintKind(
    "context-policy-strips-projection-roots",
    "suspicious",
    Level.WARN,
    "ContextPolicyLint",
    lint=check,
)
