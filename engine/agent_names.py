"""Functions as agents: a function's name as an agent is `module:function`."""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]
Agent: TypeAlias = Function | str
"""A function of a module, or the name of an agent that the Blueprint defines."""


def agent_name(agent: Agent) -> str:
    """Return the name of an agent; raise TypeError for what a worker can't import."""
    if isinstance(agent, str):
        return agent
    module = getattr(agent, "__module__", None)
    name = getattr(agent, "__qualname__", None)
    if not callable(agent) or isinstance(agent, type) or not (module and name):
        raise TypeError(f"an agent is a function or the name of one, got {agent!r}")
    if "<lambda>" in name:
        raise TypeError("a lambda has no name to import it by; define a function")
    if "." in name or name.startswith("_"):
        kind = "defined inside another function" if "<locals>" in name else "private"
        if "." in name and "<locals>" not in name:
            kind = "a method"
        raise TypeError(
            f"{module}:{name} is {kind}, so a worker can't import it; define a public"
            " function in the module itself"
        )
    if module == "__main__":
        raise TypeError(
            f"the module of {name!r} is __main__, which a worker can't import; run the"
            " file with `manage.py run FILE`"
        )
    return f"{module}:{name}"


def require_importable(name: str, function: Function) -> None:
    """Raise TypeError if the name of an agent imports another function than this."""
    module, _, attribute = name.partition(":")
    found = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
    if found is not function:
        raise TypeError(
            f"two functions are named {name}: a worker would import the other one;"
            " rename one of them"
        )
