"""The context view: what an agent gets about its step besides the input."""

from __future__ import annotations

from typing import Any, Final

from engine.blueprint.program import Agent

ALWAYS: Final = frozenset({"task_id", "agent", "attempt"})
"""Fields that no context policy removes."""


def agent_view(agent: Agent, run: str, step_id: str, attempt: int) -> dict[str, Any]:
    """Return the context view of one attempt, a JSON object.

    It has `task_id`, `agent`, `attempt` and `run_id`, and the fields that the Blueprint
    declares for the agent (`default_agent_ctx`, `meta_ref`, `meta.ctx`) and its context
    policy includes. A declared field never replaces one of the four.
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
