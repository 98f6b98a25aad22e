"""What a context policy lets an agent see."""

from typing import Final

from engine.blueprint.schema_agents import ContextPolicy

PROJECT_ROOTS: Final = ("project_root", "work_dir")


def sees(policy: ContextPolicy | None, field: str) -> bool:
    """Tells whether a field of the context view is visible; exclude beats include."""
    if policy is None:
        return True
    return field not in policy.exclude and (
        policy.include is None or field in policy.include
    )
