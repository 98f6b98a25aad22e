"""Compiles a Blueprint document to a Program, or says all that is wrong with it.

Nothing of the document is carried out or imported here: it may come from anyone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Diagnostic
from engine.blueprint.kinds import full_spec
from engine.blueprint.lints import TABLE
from engine.blueprint.program import QUEUE_SUFFIX, Agent, Program, Retry
from engine.blueprint.reading import read_blueprint, refuse
from engine.blueprint.schema import Blueprint
from engine.blueprint.schema_agents import AgentProfile
from engine.blueprint.schema_hints import AgentHints, RetryHints
from engine.blueprint.schema_runners import WsClaudeCode, WsOperator
from engine.blueprint.strict import Strict
from engine.blueprint.subprocess_spec import SubprocessRunner
from engine.blueprint.view import View
from engine.flow import parse_node
from engine.flow.json_text import Json

DIR_TEMPLATE: Final = "workspace/tasks/{task_id}/ctx"


def compile_blueprint(
    document: Json,
    *,
    kinds: Iterable[str] | None = None,
    legacy_bindings: bool = True,
) -> Program:
    """Returns the Program of a Blueprint document (a JSON value).

    `kinds` are those with a spawner in this installation, None stands for every kind.
    Without `legacy_bindings`, `profile.worker_binding` is refused. Nothing else of an
    installation has a part in it, so that a program means the same everywhere. Raises
    BlueprintInvalid with every finding of the first stage that has any: JSON, schema
    version, shape, flow, then the whole in the order of reference-language 3.1.
    """
    view = read_blueprint(document, kinds=kinds, legacy_bindings=legacy_bindings)
    refuse(find_errors(view))
    return build_program(view)


def find_errors(view: View) -> Iterator[Diagnostic]:
    """Yields what keeps a Blueprint from running, in the order of the checks."""
    for kind in TABLE:
        yield from kind.compile_findings(view)


def build_program(view: View) -> Program:
    """Returns the program of a view without errors."""
    blueprint = view.blueprint
    hints = blueprint.hints.per_agent
    metas = {row.name: row.ctx for row in blueprint.metas}
    agents = {}
    for one in view.kept:
        agents[one.agent.name] = _build_agent(
            one,
            hints.get(one.agent.name, AgentHints()),
            _agent_ctx(blueprint.default_agent_ctx or {}, metas, one),
        )
    return Program(
        blueprint_id=blueprint.id,
        flow_json=parse_node(blueprint.flow, blueprint.dialect).to_json(),
        agents=agents,
        default_init_ctx=blueprint.default_init_ctx,
        run_deadline_s=blueprint.metadata.default_run_ttl_secs,
        dialect=blueprint.dialect,
        layers=tuple(blueprint.spawner_hints.layers),
        operators={one.name: _said(one) for one in blueprint.operators},
        default_operator_kind=blueprint.default_operator_kind,
        metas=metas,
        audits=tuple(_dump(one) for one in blueprint.audits),
        step_names=_aliases(view),
        projection=_projection(blueprint),
        strict_binding=blueprint.strategy.strict_binding,
        check_policy=blueprint.check_policy,
        degradation_policy=blueprint.degradation_policy,
        project_name_alias=blueprint.metadata.project_name_alias,
    )


def _build_agent(
    one: BoundAgent,
    hints: AgentHints,
    ctx: dict[str, Json],
) -> Agent:
    agent = one.agent
    return Agent(
        name=agent.name,
        kind=one.kind,
        queue=(hints.queue or f"swarm.{one.kind}") + QUEUE_SUFFIX[hints.priority],
        timeout_ms=None if hints.timeout_s is None else milliseconds(hints.timeout_s),
        retry=_retry(hints.retry),
        spec=full_spec(one),
        profile=_profile(one),
        runner=None if one.runner is None else _dump(one.runner),
        runner_source=one.source,
        verdict=None if agent.verdict is None else _dump(agent.verdict),
        context_policy=None
        if one.context_policy is None
        else _dump(one.context_policy),
        ctx=ctx,
        limit=None if hints.limit is None else _dump(hints.limit),
        # Without a runner there is nothing that could differ from what was declared.
        binding_digest="" if one.runner is None else one.digest(),
    )


def _retry(hints: RetryHints) -> Retry:
    return Retry(
        max_attempts=hints.max_attempts,
        base_ms=milliseconds(hints.base_s),
        cap_ms=milliseconds(max(hints.base_s, hints.cap_s)),
        jitter=hints.jitter,
        budget_ms=0 if hints.budget_s is None else milliseconds(hints.budget_s),
        never=tuple(hints.never),
    )


def _profile(one: BoundAgent) -> dict[str, Json] | None:
    """Returns the persona with what the runner decides of it written in."""
    profile = one.agent.profile
    runner = one.runner
    if runner is None or isinstance(runner, SubprocessRunner):
        return None if profile is None else _dump(profile)
    binding = runner.variant if isinstance(runner, WsOperator | WsClaudeCode) else None
    decided = {"tools": list(runner.tools), "worker_binding": binding}
    return {**_dump(profile or AgentProfile()), **decided}


def _agent_ctx(
    lowest: Mapping[str, Json], metas: Mapping[str, dict[str, Json]], one: BoundAgent
) -> dict[str, Json]:
    """Returns the lower tiers of an agent's ctx, the agent's own on top."""
    meta = one.agent.meta
    merged = dict(lowest)
    if meta is not None:
        merged |= metas.get(meta.meta_ref or "", {})
        merged |= meta.ctx or {}
    return merged


def _projection(blueprint: Blueprint) -> dict[str, Json] | None:
    placement = blueprint.projection_placement
    if placement is None:
        return None
    return {
        "root": placement.root or "work_dir",
        "dir_template": placement.dir_template or DIR_TEMPLATE,
    }


def _aliases(view: View) -> dict[str, str]:
    """Returns the public names that are not simply the ref's own."""
    names = view.names.names
    return {name: canonical for name, canonical in names.items() if name != canonical}


def _dump(part: Strict) -> dict[str, Any]:
    return part.model_dump(by_alias=True)


def _said(part: Strict) -> dict[str, Any]:
    return part.model_dump(by_alias=True, exclude_defaults=True)


def milliseconds(seconds: float) -> int:
    """Returns seconds as milliseconds, at least one: 0 would mean no bound at all."""
    return max(1, round(seconds * 1000))
