"""Compiles a Blueprint document to a Program, or says all that is wrong with it.

Nothing of the document is carried out or imported here: it may come from anyone.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from pydantic import ValidationError

from engine.blueprint.diagnostics import BlueprintInvalid, Diagnostic, place_in
from engine.blueprint.program import Agent, Program, Retry
from engine.blueprint.schema import (
    KIND_ALIASES,
    KINDS,
    AgentDef,
    AgentHints,
    Blueprint,
    spec_model,
)
from engine.blueprint.schema_errors import did_you_mean, read_errors
from engine.blueprint.subprocess_spec import (
    SubprocessDef,
    applied,
    check_runner,
    check_templates,
)
from engine.flow import FlowError, dump_compact, load_json, parse_node
from engine.flow.json_text import Json, find_fault

_PARSE_ERROR: Final = re.compile(r"parse error at \$(\S*): (.*)", re.DOTALL)
_QUEUE_SUFFIX: Final[Mapping[str, str]] = {"hi": ".hi", "std": "", "lo": ".lo"}
_CHILD_KEYS: Final = ("then", "else", "body", "catch")


def compile_blueprint(
    document: Json,
    *,
    kinds: Iterable[str],
    attempt_timeout_s: float = 600.0,
    max_lost: int = 3,
) -> Program:
    """Returns the Program of a Blueprint document (a JSON value).

    `kinds` are those with a spawner in this installation; the other two apply to
    agents without a `timeout_s` of their own, and to all. Raises BlueprintInvalid with
    every finding of the first stage that has any: JSON, schema, then the whole.
    """
    fault = find_fault(document)
    if fault is not None:
        raise BlueprintInvalid([Diagnostic(fault[0], "not-json", fault[1])])
    # A copy that nobody else holds, with the numbers that JSON text would give.
    document = load_json(dump_compact(document))
    try:
        blueprint = Blueprint.model_validate(document)
    except ValidationError as error:
        raise BlueprintInvalid(read_errors(error, Blueprint, "$")) from None
    findings = [*_check_flow(blueprint), *_check_agents(blueprint, frozenset(kinds))]
    findings += _check_hints(blueprint)
    if findings:
        raise BlueprintInvalid(findings)
    hints = blueprint.hints.per_agent
    templates = _templates(blueprint)
    agents = {
        agent.name: _build_agent(
            agent,
            _full_spec(agent, templates),
            hints.get(agent.name, AgentHints()),
            attempt_timeout_s,
            max_lost,
        )
        for agent in blueprint.agents
    }
    return Program(
        blueprint_id=blueprint.id,
        flow_json=parse_node(blueprint.flow, blueprint.dialect).to_json(),
        agents=agents,
        default_init_ctx=blueprint.default_init_ctx,
        run_deadline_s=blueprint.metadata.default_run_ttl_secs,
        dialect=blueprint.dialect,
    )


def _check_flow(blueprint: Blueprint) -> Iterator[Diagnostic]:
    try:
        node = parse_node(blueprint.flow, blueprint.dialect)
    except FlowError as error:
        yield _flow_finding(error)
        return
    yield from _arrays_for_objects(blueprint.flow, node.to_json())
    names = [agent.name for agent in blueprint.agents]
    for place, ref in _step_refs(blueprint.flow):
        if ref not in names:
            hint = did_you_mean(ref, names) or "the Blueprint has no agents"
            message = f"step names the agent {ref!r}, which does not exist"
            yield Diagnostic(place, "step-without-agent", message, hint)


def _arrays_for_objects(flow: Json, parsed: Json) -> Iterator[Diagnostic]:
    """Yields the places where the flow has an array and its program an expression.

    The language reads `[1, x]` as a literal x (a conformance case); who writes it in a
    Blueprint means the array.
    """
    waiting: list[tuple[str, Json, Json]] = [("$.flow", flow, parsed)]
    while waiting:
        place, was, now = waiting.pop()
        if isinstance(was, list) and isinstance(now, dict):
            hint = f'write {{"op": "lit", "value": {dump_compact(was)}}}'
            message = "expected an object with 'op', got an array"
            yield Diagnostic(place, "flow", message, hint)
        elif isinstance(was, dict) and isinstance(now, dict):
            if now.get("op") != "lit":
                waiting += [(f"{place}.{key}", was[key], now[key]) for key in was]
        elif isinstance(was, list):
            pairs = enumerate(zip(was, now, strict=True))
            waiting += [(f"{place}[{n}]", a, b) for n, (a, b) in pairs]


def _flow_finding(error: FlowError) -> Diagnostic:
    found = _PARSE_ERROR.fullmatch(str(error))
    if found is None:
        return Diagnostic("$.flow", "flow", str(error))
    message, _, hint = found[2].partition("; ")
    return Diagnostic(f"$.flow{found[1]}", "flow", message, hint)


def _step_refs(flow: Json) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each step's ref, in the order of the document."""
    waiting: list[tuple[str, Json]] = [("$.flow", flow)]
    while waiting:
        place, node = waiting.pop()
        if node["kind"] == "step":
            yield f"{place}.ref", node["ref"]
        below = [(f"{place}.{key}", node[key]) for key in _CHILD_KEYS if key in node]
        children = node.get("children", [])
        below += [(f"{place}.children[{n}]", child) for n, child in enumerate(children)]
        waiting.extend(reversed(below))


def _check_agents(blueprint: Blueprint, kinds: Collection[str]) -> Iterator[Diagnostic]:
    first: dict[str, int] = {}
    templates = _templates(blueprint)
    yield from check_templates(blueprint.subprocesses)
    for number, agent in enumerate(blueprint.agents):
        place = f"$.agents[{number}]"
        if agent.name in first:
            message = (
                f"agent name {agent.name!r} is taken by $.agents[{first[agent.name]}]"
            )
            yield Diagnostic(f"{place}.name", "duplicate-agent", message)
        first.setdefault(agent.name, number)
        finding = _check_kind(agent.kind, f"{place}.kind", kinds)
        if finding is not None:
            yield finding
            continue
        if agent.runner is None:
            yield from _check_spec(agent, f"{place}.spec")
        else:
            kind = _kind_of(agent)
            yield from check_runner(agent.runner, kind, agent.spec, templates, place)


def _templates(blueprint: Blueprint) -> dict[str, SubprocessDef]:
    return {template.name: template for template in blueprint.subprocesses}


def _check_kind(written: str, place: str, kinds: Collection[str]) -> Diagnostic | None:
    kind = KIND_ALIASES.get(written, written)
    if kind in kinds:
        return None
    here = f"kinds with a spawner here: {', '.join(sorted(kinds)) or 'none'}"
    if kind in KINDS:
        message = f"kind '{kind}' has no spawner in this installation"
        return Diagnostic(place, "kind-without-spawner", message, here)
    near = did_you_mean(written, [*KINDS, *KIND_ALIASES, *kinds])
    hint = f"{near} ({here})" if near.startswith("did") else here
    return Diagnostic(place, "unknown-kind", f"unknown kind {written!r}", hint)


def _check_spec(agent: AgentDef, place: str) -> list[Diagnostic]:
    model = spec_model(_kind_of(agent), agent.spec)
    if model is None:
        return []
    try:
        # An absent spec is read as an empty one, so that its missing fields are named.
        model.model_validate({} if agent.spec is None else agent.spec)
    except ValidationError as error:
        return read_errors(error, model, place)
    return []


def _check_hints(blueprint: Blueprint) -> Iterator[Diagnostic]:
    names = [agent.name for agent in blueprint.agents]
    for name in blueprint.hints.per_agent:
        if name not in names:
            message = f"hints name the agent {name!r}, which does not exist"
            place = place_in("$.hints.per_agent", [name])
            yield Diagnostic(
                place, "hint-without-agent", message, did_you_mean(name, names)
            )


def _build_agent(
    agent: AgentDef,
    spec: Mapping[str, Json],
    hints: AgentHints,
    attempt_timeout_s: float,
    max_lost: int,
) -> Agent:
    kind = _kind_of(agent)
    retry = hints.retry
    timeout_s = attempt_timeout_s if hints.timeout_s is None else hints.timeout_s
    return Agent(
        name=agent.name,
        kind=kind,
        queue=(hints.queue or f"swarm.{kind}") + _QUEUE_SUFFIX[hints.priority],
        timeout_ms=_milliseconds(timeout_s),
        retry=Retry(
            max=retry.max,
            base_ms=_milliseconds(retry.base_s),
            cap_ms=_milliseconds(max(retry.base_s, retry.cap_s)),
            jitter=retry.jitter,
            budget_ms=0 if retry.budget_s is None else _milliseconds(retry.budget_s),
            never=tuple(retry.never),
        ),
        spec=spec,
        profile=None if agent.profile is None else agent.profile.model_dump(),
        max_lost=max_lost,
    )


def _full_spec(
    agent: AgentDef, templates: Mapping[str, SubprocessDef]
) -> Mapping[str, Json]:
    if agent.runner is not None:
        return applied(templates[agent.runner.template], agent.runner)
    model = spec_model(_kind_of(agent), agent.spec)
    if model is None:
        return agent.spec if isinstance(agent.spec, dict) else {}
    spec = {} if agent.spec is None else agent.spec
    return model.model_validate(spec).model_dump()


def _kind_of(agent: AgentDef) -> str:
    return KIND_ALIASES.get(agent.kind, agent.kind)


def _milliseconds(seconds: float) -> int:
    # The smallest time is a millisecond: 0 would mean no bound at all.
    return max(1, round(seconds * 1000))
