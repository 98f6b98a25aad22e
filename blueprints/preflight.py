"""What a run needs of this installation, looked for before anything is started."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from blueprints.agent_limits import refusals
from blueprints.agents import (
    AgentModuleBroken,
    find_function,
    load_modules,
    nearest_name,
)
from blueprints.child_programs import find_program, program_word
from blueprints.conf import lua_host, spawner_kinds
from blueprints.lua_scripts import find_script
from engine.blueprint import (
    Agent,
    Diagnostic,
    Program,
    compile_blueprint,
    lint_blueprint,
)
from engine.blueprint.diagnostics import Element, place_in
from engine.blueprint.flow_walk import walk_nodes
from engine.blueprint.kinds import KINDS
from engine.blueprint.lints import not_in_effect_yet
from engine.blueprint.lints.unregistered_extern import unregistered
from engine.ports import LuaFault, LuaLimits, LuaScript

UNKNOWN_FUNCTION: Final = "unknown-function"
UNKNOWN_SCRIPT: Final = "unknown-script"
BROKEN_SCRIPT: Final = "script-broken"
NO_PROGRAM: Final = "program-not-found"
LIMIT_TOO_HIGH: Final = "limit-too-high"
NO_SPAWNER: Final = "kind-without-spawner"
UNREGISTERED_EXTERN: Final = "unregistered-extern"
STAGE: Final = "LaunchPreflight"
EXTERNS: Final[frozenset[str]] = frozenset()
"""What a flow may call by call_extern: this installation has no such functions."""
COMPILED_BYTES: Final = 1024


def compile_here(document: Any, *, anywhere: bool = False) -> Program:
    """Return the Program of a Blueprint, with the settings of this installation.

    `anywhere` takes the kinds that have no spawner here, too. Raises BlueprintInvalid.
    """
    kinds = known_kinds() if anywhere else spawner_kinds()
    return compile_blueprint(
        document,
        kinds=kinds,
        legacy_bindings=legacy_bindings(),
    )


def in_vain(document: Any) -> list[Diagnostic]:
    """Return a finding for each part of a Blueprint that has no effect yet."""
    report = lint_blueprint(
        document,
        kinds=spawner_kinds(),
        legacy_bindings=legacy_bindings(),
        only=not_in_effect_yet.LINT,
    )
    return [
        one for one in report.diagnostics if one.kind == not_in_effect_yet.LINT.name
    ]


def legacy_bindings() -> bool:
    """Tell whether an agent's worker may still be named by profile.worker_binding."""
    return bool(settings.SWARM_LEGACY_WORKER_BINDING == "allow")


def known_kinds() -> frozenset[str]:
    """Return every kind the schema knows or this installation adds."""
    return frozenset({*KINDS, *spawner_kinds()})


def missing_parts(program: Program, document: Any = None) -> list[Diagnostic]:
    """Return a finding for each thing a run of a program needs that is not here.

    That is functions of the host, spawners, Python functions (the modules of
    SWARM_AGENT_MODULES are loaded as workers do), Lua scripts, which have to compile,
    and programs. `document` is the complete one that the program was made of; without
    it places count the program's agents. Workers elsewhere may have more, or less.
    """
    if document is None:
        document = {"agents": [{"name": name} for name in program.agents]}
    found = [
        Diagnostic(one.place, UNREGISTERED_EXTERN, one.message, stage=STAGE)
        for one in unregistered(walk_nodes(program.flow_json), EXTERNS)
    ]
    found += _missing_functions(program, document)
    here = spawner_kinds()
    for place, agent in _placed(program, document):
        if agent.kind not in here:
            text = f"kind '{agent.kind}' has no spawner in this installation"
            hint = f"kinds with a spawner here: {', '.join(here) or 'none'}"
            found.append(_missing(place, NO_SPAWNER, text, hint, agent))
            continue
        found += _too_high(place, agent, document)
        if agent.kind == "subprocess":
            found += _missing_program(place, agent)
        elif agent.kind == "lua":
            found += _missing_script(place, agent)
            found += _broken_script(place, agent)
    return found


def _missing_functions(program: Program, document: Any) -> list[Diagnostic]:
    wanted = [
        (place, agent, str(agent.spec.get("fn_id", "")))
        for place, agent in _placed(program, document)
        if agent.kind == "python_fn"
    ]
    if not wanted:
        return []
    broken = _load()
    return [
        _missing(
            f"{place}.spec.fn_id",
            UNKNOWN_FUNCTION,
            f"no agent function is named {fn_id!r}",
            _hint(fn_id, broken),
            agent,
        )
        for place, agent, fn_id in wanted
        if fn_id and find_function(fn_id) is None
    ]


def _placed(program: Program, document: Any) -> Iterator[tuple[str, Agent]]:
    """Yield the program's agents with their places in the document."""
    for number, written in enumerate(document.get("agents", ())):
        agent = program.agents.get(written["name"])
        if agent is not None:
            yield place_in("$.agents", [number]), agent


def _missing(place: str, kind: str, text: str, hint: str, agent: Agent) -> Diagnostic:
    element = Element("Agent", agent.name)
    return Diagnostic(place, kind, text, hint, element=element, stage=STAGE)


def _too_high(place: str, agent: Agent, document: Any) -> Iterator[Diagnostic]:
    asked = agent.spec.get("limits") or {}
    for name, fault in refusals(agent.kind, asked):
        spot = f"{_spec_place(place, agent, document)}.limits.{name}"
        hint = "ask for less, or raise the setting here and on every worker"
        yield _missing(spot, LIMIT_TOO_HIGH, fault, hint, agent)


def _spec_place(place: str, agent: Agent, document: Any) -> str:
    """Return the place of an agent's spec: its own, or the template of its runner."""
    template = (agent.runner or {}).get("template")
    for number, written in enumerate(document.get("subprocesses", ())):
        if written["name"] == template:
            return place_in("$.subprocesses", [number])
    return f"{place}.spec"


def _missing_script(place: str, agent: Agent) -> Iterator[Diagnostic]:
    name = agent.spec.get("fn_id")
    if agent.spec.get("source") is not None or not isinstance(name, str):
        return
    try:
        find_script(name, settings.SWARM_LUA_DIRS)
    except LookupError as error:
        text, _, hint = str(error.args[0]).partition("; ")
        yield _missing(f"{place}.spec.fn_id", UNKNOWN_SCRIPT, text, hint, agent)


def _broken_script(place: str, agent: Agent) -> Iterator[Diagnostic]:
    spec = agent.spec
    name, source = spec.get("fn_id"), spec.get("source")
    inline = isinstance(source, str)
    if not inline:
        try:
            source = find_script(str(name), settings.SWARM_LUA_DIRS)
        except LookupError:
            return
    label = spec.get("label") or (f"{agent.name}.lua" if name is None else str(name))
    limits = LuaLimits(
        settings.SWARM_LUA_TIME, settings.SWARM_LUA_MEMORY, COMPILED_BYTES
    )
    try:
        # All of it is compiled, and nothing of it is carried out.
        lua_host().run(LuaScript(f"do return end {source}", label), limits)
    except LuaFault as fault:
        # What else may go wrong is about this machine, and told by `manage.py doctor`.
        if fault.kind == "syntax":
            spot = f"{place}.spec.{'source' if inline else 'fn_id'}"
            yield _missing(spot, BROKEN_SCRIPT, fault.text, "", agent)


def _missing_program(place: str, agent: Agent) -> Iterator[Diagnostic]:
    spec = agent.spec
    name = program_word(spec)
    # What lies in the launch's folder is known in the run only.
    if not name or "{" in name or ("/" in name and name[0] != "/"):
        return
    if shutil.which(find_program(name)) is not None:
        return
    text = f"no program {name!r} can be started here"
    hint = "install it, or add its folder to PATH"
    if "/" in name:
        hint = "is it there, and may it be executed?"
    yield _missing(_program_place(place, spec, agent), NO_PROGRAM, text, hint, agent)


def _program_place(place: str, spec: Any, agent: Agent) -> str:
    if agent.runner is not None:
        return place
    return f"{place}.spec.argv[0]" if spec.get("argv") else f"{place}.spec.program"


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
        # The name may be right, and its module broken.
        return "; ".join(filter(None, (f"did you mean {near!r}?", broken)))
    return broken or (
        "is its module in SWARM_AGENT_MODULES"
        f" ({', '.join(settings.SWARM_AGENT_MODULES)})?"
    )
