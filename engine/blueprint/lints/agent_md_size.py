"""A prompt is so long that people and models lose its thread."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each prompt above the limits on bytes or lines."""
    limits = view.options
    for one in view.bound:
        prompt = "" if one.agent.profile is None else one.agent.profile.system_prompt
        size, lines = len(prompt.encode()), len(prompt.splitlines())
        if size < limits.warn_bytes and lines < limits.warn_lines:
            continue
        too_much = size >= limits.block_bytes or lines >= limits.block_lines
        yield Finding(
            f"{one.place}.profile.system_prompt",
            f"the prompt of {one.agent.name!r} has {size} bytes in {lines} lines",
            "split the agent, or move reference text to where it can be looked up",
            (f"limits: {limits.warn_bytes} bytes, {limits.warn_lines} lines",),
            element=one.element,
            level=Level.ERROR if limits.block and too_much else None,
        )


LINT: Final = LintKind("agent-md-size", "style", Level.WARN, "AgentMdSize", lint=check)
