"""`blueprint explain FILE [AGENT]`: show the program that the compiler makes."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from django.conf import settings

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.build import document_hash
from blueprints.authoring.flow_text import flow_rows
from blueprints.authoring.source import add_source, compile_loaded, load
from blueprints.parameters import ArgumentRefused
from blueprints.preflight import missing_parts
from engine.blueprint import Agent, Program, Retry
from engine.blueprint.analysis.flow_walk import walk_nodes
from engine.blueprint.compiler import agent_tiers
from engine.blueprint.findings.diagnostics import Element
from engine.blueprint.kinds.registry import ANY_KIND, KINDS
from engine.flow import dump_compact
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean

HELP: Final = "Show what the compiler makes of a Blueprint: agents, flow, program id."
FACTS: Final = (
    "blueprint_id", "dialect", "run_deadline_s", "layers", "strict_binding", "operators",
    "audits", "default_init_ctx", "step_names", "projection",
)  # fmt: skip
# Fields for people, which are no part of the program.
NOTES: Final = ("description", "version_label", "tags", "origin")
AGENT_NOTES: Final = {
    "meta": ("description", "version", "tags"),
    "profile": ("description", "version_hash"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    parser.add_argument(
        "agent", metavar="AGENT", nargs="?", help="show all facts of one agent"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the program; raises BlueprintInvalid, DocumentInvalid or ArgumentRefused."""
    loaded = load(options["file"], options)
    program = compile_loaded(loaded)
    whole, notes = asdict(program), for_people(loaded.document)
    data: dict[str, Json] = {
        "ok": True,
        "file": str(loaded.path),
        "program_id": program.program_id,
        **{name: whole[name] for name in FACTS},
        "agents": [
            {**agent_facts(program, one), "about": notes["agents"][one.name]}
            for one in program.agents.values()
        ],
        "flow": [
            {"depth": depth, "place": place, "text": text}
            for depth, place, text in flow_rows(program)
        ],
        "document_hash": document_hash(loaded.document),
        "about": notes["about"],
    }
    wanted = options["agent"]
    if wanted is None:
        return Answer(
            FINE, data, lines(*_whole(program, data["about"])), loaded.script_lines
        )
    if wanted not in program.agents:
        hint = did_you_mean(wanted, program.agents) or "the Blueprint has no agents"
        raise ArgumentRefused(f"{loaded.path}: no agent is named {wanted!r}; {hint}")
    facts = next(one for one in data["agents"] if one["name"] == wanted)
    facts["ctx_tiers"] = ctx_tiers(loaded.document, wanted)
    facts["refused"] = [
        f"{one.message}; {one.help}" if one.help else one.message
        for one in missing_parts(program, loaded.document)
        if one.element == Element("Agent", wanted)
    ]
    data["agents"] = [facts]
    data["flow"] = [row for row in data["flow"] if row["place"] in facts["steps"]]
    return Answer(FINE, data, lines(*_one(facts)), loaded.script_lines)


def agent_facts(program: Program, agent: Agent) -> dict[str, Json]:
    """Return a compiled agent with what is derived of it: sizes, names, its steps."""
    prompt = str((agent.profile or {}).get("system_prompt") or "")
    rules = KINDS.get(agent.kind, ANY_KIND)
    return {
        **{name: part for name, part in asdict(agent).items() if name != "work_dir"},
        "binding_digest": agent.binding_digest or None,
        "template_variables": rules.template_variables(agent.spec),
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


def ctx_tiers(document: Json, name: str) -> dict[str, str]:
    """Return for each key of an agent's ctx which tier of the document gives it."""
    written = next(one for one in document["agents"] if one["name"] == name)
    meta = written.get("meta") or {}
    metas = {one["name"]: one.get("ctx") for one in document.get("metas") or ()}
    tiers = agent_tiers(
        document.get("default_agent_ctx"),
        metas.get(meta.get("meta_ref")),
        meta.get("ctx"),
    )
    return {key: tier for tier, ctx in tiers.items() for key in ctx}


def _about(written: Json, names: tuple[str, ...]) -> dict[str, Json]:
    fields = written if isinstance(written, dict) else {}
    return {name: fields[name] for name in names if fields.get(name)}


def for_people(document: Json) -> dict[str, Json]:
    """Return the fields for people of a document and of each of its agents."""
    agents = {
        one["name"]: {
            part: _about(one.get(part), names) for part, names in AGENT_NOTES.items()
        }
        for one in document.get("agents", ())
    }
    return {"about": _about(document.get("metadata"), NOTES), "agents": agents}


def retry_text(retry: Retry) -> str:
    """Return a retry policy in a few words."""
    if retry.max_attempts <= 1:
        return "no retry"
    waits = f"{retry.base_ms / 1000:g} to {retry.cap_ms / 1000:g} s apart"
    return f"{retry.max_attempts} attempts {waits}"


def timeout_text(agent: Agent) -> str:
    """Return the time limit of an attempt in a few words."""
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
    yield ""
    yield "agents" if program.agents else "no agents"
    width = max(map(len, program.agents), default=0)
    for agent in program.agents.values():
        parts = [
            agent.kind,
            KINDS.get(agent.kind, ANY_KIND).describe(agent.spec),
            f"queue {agent.queue}",
            timeout_text(agent),
            retry_text(agent.retry),
        ]
        if agent.runner is not None:
            parts.append(f"runner {agent.runner['backend']} ({agent.runner_source})")
        yield f"  {agent.name:<{width}}  {', '.join(part for part in parts if part)}"
    if program.step_names:
        yield ""
        yield "names of outputs, and the agents that give them"
        width = max(map(len, program.step_names))
        for name, agent_name in sorted(program.step_names.items()):
            yield f"  {name:<{width}}  {agent_name}"
    yield ""
    yield "flow"
    for depth, _, text in flow_rows(program):
        yield f"  {'  ' * depth}{text}"


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
