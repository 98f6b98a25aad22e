"""Check that this installation has all that a run needs, before it is launched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from blueprints.conf import spawner_class, spawner_kinds
from blueprints.spawner import need
from engine.blueprint import (
    Agent,
    Diagnostic,
    Program,
    compile_blueprint,
)
from engine.blueprint.analysis.flow_walk import walk_nodes
from engine.blueprint.analysis.signatures import Signature
from engine.blueprint.findings.diagnostics import place_in
from engine.blueprint.kinds.registry import KINDS
from engine.blueprint.lints.flow import find_unregistered

LIMIT_TOO_HIGH: Final = "limit-too-high"
NO_SPAWNER: Final = "kind-without-spawner"
UNREGISTERED_EXTERN: Final = "unregistered-extern"
EXTERNS: Final[frozenset[str]] = frozenset()
"""The functions that a flow may call by call_extern: none yet."""


def compile_here(document: Any, *, anywhere: bool = False) -> Program:
    """Return the Program of a Blueprint, with the settings of this installation.

    With `anywhere`, kinds without a spawner here are allowed. Raise BlueprintInvalid.
    """
    kinds = known_kinds() if anywhere else spawner_kinds()
    return compile_blueprint(document, kinds=kinds, legacy_bindings=legacy_bindings())


def legacy_bindings() -> bool:
    """Return whether profile.worker_binding may still name an agent's runner."""
    return bool(settings.SWARM_LEGACY_WORKER_BINDING == "allow")


def known_kinds() -> frozenset[str]:
    """Return all kinds of the schema and of this installation."""
    return frozenset({*KINDS, *spawner_kinds()})


def missing_parts(program: Program, document: Any = None) -> list[Diagnostic]:
    """Return a finding for each part that a run needs and this installation lacks.

    Parts are host functions, spawners, and what each spawner checks. `document` is the
    complete document of the program; without it, places number the program's agents.
    Other hosts may have other parts.
    """
    if document is None:
        document = {"agents": [{"name": name} for name in program.agents]}
    found = [
        Diagnostic(one.place, UNREGISTERED_EXTERN, one.message, stage="LaunchPreflight")
        for one in find_unregistered(walk_nodes(program.flow_json), EXTERNS)
    ]
    here = spawner_kinds()
    placed: dict[str, list[tuple[str, Agent]]] = {}
    for number, written in enumerate(document.get("agents", ())):
        agent = program.agents.get(written["name"])
        if agent is not None:
            place = place_in("$.agents", [number])
            placed.setdefault(agent.kind, []).append((place, agent))
    for kind, agents in placed.items():
        if kind in here:
            found += spawner_class(kind).missing(agents)
            found += (fault for one in agents for fault in _too_high(*one, document))
            continue
        text = f"kind '{kind}' has no spawner in this installation"
        hint = f"kinds with a spawner here: {', '.join(here) or 'none'}"
        found += (need(at, NO_SPAWNER, text, hint, agent) for at, agent in agents)
    return found


def signatures(program: Program) -> dict[str, Signature]:
    """Return what the code of each agent takes, where that is known here."""
    here = spawner_kinds()
    forms = {
        name: spawner_class(agent.kind).signature(agent)
        for name, agent in program.agents.items()
        if agent.kind in here
    }
    return {name: form for name, form in forms.items() if form is not None}


def _too_high(place: str, agent: Agent, document: Any) -> Iterator[Diagnostic]:
    values = agent.spec.get("limits") or {}
    for name, limit in spawner_class(agent.kind).limits.items():
        if fault := limit.fault(name, values.get(name)):
            limit_place = f"{_spec_place(place, agent, document)}.limits.{name}"
            hint = "lower the limit, or raise the setting here and on every worker"
            yield need(limit_place, LIMIT_TOO_HIGH, fault, hint, agent)


def _spec_place(place: str, agent: Agent, document: Any) -> str:
    """Return the place of an agent's spec, or of the template that its runner names."""
    template = (agent.runner or {}).get("template")
    for number, written in enumerate(document.get("subprocesses", ())):
        if written["name"] == template:
            return place_in("$.subprocesses", [number])
    return f"{place}.spec"
