"""Where in the document an agent's tools are written."""

from engine.blueprint.binding import BoundAgent
from engine.blueprint.schema import Blueprint


def tools_place(blueprint: Blueprint, one: BoundAgent) -> str:
    """Returns the place of the list that `one.tools` was read from."""
    match one.source:
        case "agent_inline":
            place = f"{one.place}.runner"
        case "agent_ref" | "blueprint_default":
            named = [row.name for row in blueprint.runners]
            name = one.agent.runner_ref or blueprint.default_runner or ""
            place = f"$.runners[{named.index(name)}].runner"
        case _:
            return f"{one.place}.profile.tools"
    if one.kind == "subprocess":
        return f"{one.place}.profile.tools"
    return f"{place}.tools"
