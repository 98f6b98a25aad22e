"""Compiles a Blueprint document to a Program, or reports its errors.

No part of the document is run or imported here: its author may be anyone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Diagnostic
from engine.blueprint.kinds.registry import full_spec
from engine.blueprint.kinds.rules import BoundAgent
from engine.blueprint.lints import TABLE
from engine.blueprint.program import QUEUE_SUFFIX, Agent, Program, Retry
from engine.blueprint.reading import raise_findings, read_blueprint
from engine.blueprint.schema.agents import (
    AgentMeta,
    AgentProfile,
    WsClaudeCode,
    WsOperator,
)
from engine.blueprint.schema.policy import AgentPolicy, RetryPolicy
from engine.blueprint.schema.strict import Strict
from engine.blueprint.schema.subprocess_template import SubprocessRunner
from engine.flow import Dialect, parse_expr
from engine.flow.json_text import Json

DIR_TEMPLATE: Final = "workspace/tasks/{task_id}/ctx"


def compile_blueprint(
    document: Json,
    *,
    kinds: Iterable[str] | None = None,
    legacy_bindings: bool = True,
) -> Program:
    """Return the Program of a Blueprint document (a JSON value).

    `kinds` are those with a spawner in this installation, None stands for every kind.
    Without `legacy_bindings`, `profile.worker_binding` is an error. The program depends
    on nothing else of an installation. Raises BlueprintInvalid with every finding: the
    faults of shape and flow, or those of the flow and of the checks of the document in
    the order of the registry of lints. Checks that need the flow wait for its faults.
    """
    view = read_blueprint(document, kinds=kinds, legacy_bindings=legacy_bindings)
    raise_findings(find_errors(view))
    return build_program(view)


def find_errors(view: View) -> Iterator[Diagnostic]:
    """Yield the errors of a Blueprint: the faults of its flow, then those of the checks."""
    yield from view.faults
    for kind in TABLE:
        yield from kind.find(view, of_compiler=True)


def build_program(view: View) -> Program:
    """Return the program of a view without errors."""
    blueprint = view.blueprint
    placement = blueprint.projection_placement
    metas = {row.name: row.ctx for row in blueprint.metas}
    agents = {
        one.agent.name: _build_agent(
            one,
            view.policies[one.agent.name],
            blueprint.dialect,
            _agent_ctx(blueprint.default_agent_ctx, metas, one),
        )
        for one in view.runnable
    }
    return Program(
        blueprint_id=blueprint.id,
        flow_json=view.root.node,
        agents=agents,
        default_init_ctx=blueprint.default_init_ctx,
        run_deadline_s=blueprint.metadata.default_run_ttl_secs,
        dialect=blueprint.dialect,
        layers=tuple(blueprint.spawner_hints.layers),
        operators={
            one.name: _dump(one, exclude_defaults=True) for one in blueprint.operators
        },
        default_operator_kind=blueprint.default_operator_kind,
        metas=metas,
        audits=tuple(_dump(one) for one in blueprint.audits),
        step_names={
            name: canonical
            for name, canonical in view.names.names.items()
            if name != canonical
        },
        projection=None
        if placement is None
        else {
            "root": placement.root or "work_dir",
            "dir_template": placement.dir_template or DIR_TEMPLATE,
        },
        strict_binding=blueprint.strategy.strict_binding,
        check_policy=blueprint.check_policy,
        degradation_policy=blueprint.degradation_policy,
        project_name_alias=blueprint.metadata.project_name_alias,
    )


def _build_agent(
    one: BoundAgent, policy: AgentPolicy, dialect: Dialect, ctx: dict[str, Json]
) -> Agent:
    agent, limit = one.agent, policy.limit
    return Agent(
        name=agent.name,
        kind=one.kind,
        queue=(policy.queue or f"swarm.{one.kind}")
        + QUEUE_SUFFIX[policy.priority or "std"],
        timeout_ms=None if policy.timeout is None else milliseconds(policy.timeout),
        retry=_retry(policy.retry or RetryPolicy()),
        spec=full_spec(one),
        profile=_profile(one),
        runner=_dump_given(one.runner),
        runner_source=one.source,
        verdict=_dump_given(agent.verdict),
        context_policy=_dump_given(one.context_policy),
        ctx=ctx,
        limit=None
        if limit is None
        else {"key": parse_expr(limit.key, dialect).to_json(), "max": limit.max},
        # Without a runner there is no binding to compare.
        binding_digest="" if one.runner is None else one.digest(),
    )


def _retry(policy: RetryPolicy) -> Retry:
    return Retry(
        max_attempts=policy.max_attempts,
        base_ms=milliseconds(policy.base),
        cap_ms=milliseconds(max(policy.base, policy.cap)),
        jitter=policy.jitter,
        budget_ms=0 if policy.budget is None else milliseconds(policy.budget),
        never=tuple(policy.never),
    )


def _profile(one: BoundAgent) -> dict[str, Json] | None:
    """Return the persona, with the fields that the runner decides replaced."""
    profile = one.agent.profile
    runner = one.runner
    if runner is None or isinstance(runner, SubprocessRunner):
        return _dump_given(profile)
    binding = runner.variant if isinstance(runner, WsOperator | WsClaudeCode) else None
    decided = {"tools": list(runner.tools), "worker_binding": binding}
    return {**_dump(profile or AgentProfile()), **decided}


def agent_tiers(
    of_all: Mapping[str, Json] | None,
    named: Mapping[str, Json] | None,
    own: Mapping[str, Json] | None,
) -> dict[str, Mapping[str, Json]]:
    """Return the tiers of an agent's ctx by name; a later one overrides those before."""
    return {
        "bp_global": of_all or {}, "meta_ref": named or {}, "agent_inline": own or {},
    }  # fmt: skip


def _agent_ctx(
    of_all: Mapping[str, Json] | None,
    metas: Mapping[str, dict[str, Json]],
    one: BoundAgent,
) -> dict[str, Json]:
    meta = one.agent.meta or AgentMeta()
    tiers = agent_tiers(of_all, metas.get(meta.meta_ref or ""), meta.ctx)
    return {key: value for ctx in tiers.values() for key, value in ctx.items()}


def _dump(part: Strict, *, exclude_defaults: bool = False) -> dict[str, Any]:
    return part.model_dump(by_alias=True, exclude_defaults=exclude_defaults)


def _dump_given(part: Strict | None) -> dict[str, Any] | None:
    return None if part is None else _dump(part)


def milliseconds(seconds: float) -> int:
    """Return seconds as milliseconds, at least one: 0 would mean no bound at all."""
    return max(1, round(seconds * 1000))
