"""What an agent may know of its step besides the input: the context view."""

from __future__ import annotations

from typing import Any, Final

from engine.blueprint.program import Agent

ALWAYS: Final = frozenset({"task_id", "agent", "attempt"})
"""Fields that no context policy removes."""


def agent_view(agent: Agent, run: str, step_id: str, attempt: int) -> dict[str, Any]:
    """Return the context view of one attempt, a JSON object.

    It has `task_id`, `agent`, `attempt` and `run_id`, and beside them what the Blueprint
    declares for the agent (`default_agent_ctx`, `meta_ref`, `meta.ctx`), as far as the
    context policy lets it through. A declared key never replaces one of the former.
    """
    view = {
        **agent.ctx,
        "task_id": step_id,
        "agent": agent.name,
        "attempt": attempt,
        "run_id": run,
    }
    policy = agent.context_policy
    if policy is None:
        return view
    include, exclude = policy.get("include"), policy.get("exclude") or ()
    return {
        field: value
        for field, value in view.items()
        if field in ALWAYS
        or (field not in exclude and (include is None or field in include))
    }
