"""What a run needs of this installation, looked for before anything is started."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final

from django.conf import settings

from blueprints.agents import (
    AgentModuleBroken,
    find_function,
    load_modules,
    nearest_name,
)
from engine.blueprint import Diagnostic, Program

KIND: Final = "python_fn"
CODE: Final = "unknown-function"


def missing_functions(program: Program, document: Any) -> list[Diagnostic]:
    """Return a finding for each agent whose Python function is not registered here.

    Loads the modules of SWARM_AGENT_MODULES, if there is such an agent, as workers do.
    """
    wanted = {
        name: str(agent.spec.get("fn_id", ""))
        for name, agent in program.agents.items()
        if agent.kind == KIND
    }
    if not wanted:
        return []
    broken = _load()
    found = []
    for number, agent in enumerate(document["agents"]):
        fn_id = wanted.get(agent["name"], "")
        if fn_id and find_function(fn_id) is None:
            place = f"$.agents[{number}].spec.fn_id"
            text = f"no agent function is named {fn_id!r}"
            found.append(Diagnostic(place, CODE, text, _hint(fn_id, broken)))
    return found


def _load() -> str:
    # Workers stand in the caller's directory and find modules there, too.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        # What a module prints must not get between a command and its JSON.
        with contextlib.redirect_stdout(sys.stderr):
            load_modules(settings.SWARM_AGENT_MODULES)
    except AgentModuleBroken as error:
        return str(error)
    return ""


def _hint(fn_id: str, broken: str) -> str:
    near = nearest_name(fn_id)
    if near:
        return f"did you mean {near!r}?"
    return broken or (
        "is its module in SWARM_AGENT_MODULES"
        f" ({', '.join(settings.SWARM_AGENT_MODULES)})?"
    )
