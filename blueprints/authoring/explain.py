"""`blueprint explain FILE [AGENT]`: what the compiler made of a Blueprint."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.conf import settings

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.build import document_hash
from blueprints.authoring.flow_text import flow_rows
from blueprints.authoring.source import add_source, compile_loaded, load
from blueprints.parameters import Refused
from engine.blueprint import Agent, Program, Retry
from engine.blueprint.flow_walk import walk_nodes
from engine.blueprint.schema_errors import did_you_mean
from engine.flow import dump_compact
from engine.flow.json_text import Json

HELP: Final = "Show what the compiler makes of a Blueprint: agents, flow, program id."
LONGEST: Final = 100
# What is written for people and has no part in the program.
NOTES: Final = ("description", "version_label", "tags", "origin")
AGENT_NOTES: Final = {
    "meta": ("description", "version", "tags"),
    "profile": ("description", "version_hash"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    add_source(parser)
    parser.add_argument(
        "agent", metavar="AGENT", nargs="?", help="one agent with everything it has"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Returns the program; raises BlueprintInvalid, DocumentInvalid or Refused."""
    loaded = load(options["file"], options)
    program = compile_loaded(loaded)
    data: dict[str, Json] = {"ok": True, "file": str(loaded.path)}
    data |= explained(program)
    data["document_hash"] = document_hash(loaded.document)
    notes = for_people(loaded.document)
    data["about"] = notes["about"]
    for facts in data["agents"]:
        facts["about"] = notes["agents"][facts["name"]]
    wanted = options["agent"]
    if wanted is None:
        return Answer(FINE, data, lines(*_whole(program, data["about"])), loaded.said)
    if wanted not in program.agents:
        hint = did_you_mean(wanted, program.agents) or "it has no agents"
        raise Refused(f"{loaded.path}: no agent is named {wanted!r}; {hint}")
    facts = next(one for one in data["agents"] if one["name"] == wanted)
    data["agents"] = [facts]
    data["flow"] = [row for row in data["flow"] if row["place"] in facts["steps"]]
    return Answer(FINE, data, lines(*_one(facts)), loaded.said)


def explained(program: Program) -> dict[str, Json]:
    """Returns the facts of a program as JSON."""
    return {
        "blueprint_id": program.blueprint_id,
        "program_id": program.program_id,
        "dialect": program.dialect,
        "run_deadline_s": program.run_deadline_s,
        "layers": list(program.layers),
        "strict_binding": program.strict_binding,
        "operators": dict(program.operators),
        "audits": [dict(one) for one in program.audits],
        "default_init_ctx": program.default_init_ctx,
        "step_names": dict(program.step_names),
        "projection": None if program.projection is None else dict(program.projection),
        "agents": [agent_facts(program, one) for one in program.agents.values()],
        "flow": [
            {"depth": depth, "place": place, "text": text}
            for depth, place, text in flow_rows(program.flow_json)
        ],
    }


def agent_facts(program: Program, agent: Agent) -> dict[str, Json]:
    """Returns an agent as compiled, with its prompt counted and its steps."""
    prompt = str((agent.profile or {}).get("system_prompt") or "")
    return {
        **agent.to_json(),
        "runner": None if agent.runner is None else dict(agent.runner),
        "runner_source": agent.runner_source,
        "verdict": None if agent.verdict is None else dict(agent.verdict),
        "context_policy": None
        if agent.context_policy is None
        else dict(agent.context_policy),
        "ctx": dict(agent.ctx),
        "limit": None if agent.limit is None else dict(agent.limit),
        "binding_digest": agent.binding_digest or None,
        "prompt": {"bytes": len(prompt.encode()), "lines": len(prompt.splitlines())},
        "public_names": sorted(
            name for name, to in program.step_names.items() if to == agent.name
        ),
        "steps": [
            spot.place
            for spot in walk_nodes(program.flow_json)
            if spot.kind == "step" and spot.node["ref"] == agent.name
        ],
    }


def _about(written: Json, names: tuple[str, ...]) -> dict[str, Json]:
    said = written if isinstance(written, dict) else {}
    return {name: said[name] for name in names if said.get(name)}


def for_people(document: Json) -> dict[str, Json]:
    """Returns what a document says to people only, of itself and of each agent."""
    agents = {
        one["name"]: {
            part: _about(one.get(part), names) for part, names in AGENT_NOTES.items()
        }
        for one in document.get("agents", ())
    }
    return {"about": _about(document.get("metadata"), NOTES), "agents": agents}


def retry_text(retry: Retry) -> str:
    """Returns a retry policy in a few words."""
    if retry.max_attempts <= 1:
        return "no retry"
    waits = f"{retry.base_ms / 1000:g} to {retry.cap_ms / 1000:g} s apart"
    return f"{retry.max_attempts} attempts {waits}"


def timeout_text(agent: Agent) -> str:
    """Returns how long an attempt may take in a few words."""
    if agent.timeout_ms is None:
        return f"timeout {settings.SWARM_ATTEMPT_TIMEOUT:g} s (SWARM_ATTEMPT_TIMEOUT)"
    return f"timeout {agent.timeout_ms / 1000:g} s"


def _whole(program: Program, about: Mapping[str, Json]) -> Iterator[str]:
    yield f"{program.blueprint_id}  ({program.dialect})"
    yield f"program {program.program_id}"
    for name, value in about.items():
        yield f"{name}: {value if isinstance(value, str) else dump_compact(value)}"
    if program.run_deadline_s is not None:
        yield f"deadline of a run: {program.run_deadline_s} s"
    if program.layers:
        yield f"layers: {', '.join(program.layers)}"
    for name, canonical in sorted(program.step_names.items()):
        yield f"step name: {name} = {canonical}"
    yield ""
    yield "agents" if program.agents else "no agents"
    width = max(map(len, program.agents), default=0)
    for agent in program.agents.values():
        parts = [
            agent.kind,
            _task(agent),
            f"queue {agent.queue}",
            timeout_text(agent),
            retry_text(agent.retry),
        ]
        if agent.runner is not None:
            parts.append(f"runner {agent.runner['backend']} ({agent.runner_source})")
        yield f"  {agent.name:<{width}}  {', '.join(part for part in parts if part)}"
    yield ""
    yield "flow"
    for depth, _, text in flow_rows(program.flow_json):
        yield f"  {'  ' * depth}{text}"


def _task(agent: Agent) -> str:
    """Returns what of its kind an agent is: the function, script, program or seat."""
    spec: Mapping[str, Any] = agent.spec
    match agent.kind:
        case "lua" if spec.get("source") is not None:
            return "inline script"
        case "lua" | "python_fn":
            return str(spec.get("fn_id"))
        case "subprocess":
            words = spec.get("argv") or [spec.get("program", ""), *spec.get("args", [])]
            text = " ".join(" ".join(map(str, words)).split())
            return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        case "operator":
            return f"seat {spec.get('operator_ref')}"
        case _:
            return ""


def _one(facts: Mapping[str, Json]) -> Iterator[str]:
    for key, value in facts.items():
        if isinstance(value, str) or value is None:
            yield f"{key}: {'none' if value is None else value}"
        elif isinstance(value, dict) and value:
            yield f"{key}:"
            for name, part in value.items():
                text = part if isinstance(part, str) else dump_compact(part)
                first, *rest = text.splitlines() or [""]
                yield f"  {name}: {first}"
                yield from (f"    {line}" for line in rest)
        else:
            yield f"{key}: {dump_compact(value)}"
