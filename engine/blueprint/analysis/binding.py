"""The runner of each agent, and the bindings that agents request from providers."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass

from engine.blueprint.findings.diagnostics import MOST, Element, Finding
from engine.blueprint.kinds.registry import ANY_KIND, BACKENDS, KIND_ALIASES, KINDS
from engine.blueprint.kinds.rules import AgentKind, BoundAgent
from engine.blueprint.schema.agents import AgentDef, Runner, WsClaudeCode, WsOperator
from engine.blueprint.schema.document import Blueprint
from engine.blueprint.schema.subprocess_template import SubprocessRunner
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class BindRequest:
    """A binding that an agent requests from the provider of its operator or model."""

    agent: str
    request_digest: str
    backend: str
    binding_target: str | None
    requested_model: str | None
    requested_tools: tuple[str, ...]
    launch_variant: str | None

    def to_json(self) -> dict[str, Json]:
        """Return the request as JSON."""
        return {**asdict(self), "requested_tools": list(self.requested_tools)}


def bind_agents(
    blueprint: Blueprint, *, legacy_bindings: bool = True
) -> tuple[BoundAgent, ...]:
    """Return every agent with its runner, template and policy, in document order."""
    binder = _Binder(blueprint, legacy_bindings)
    return tuple(
        binder.bind(agent, f"$.agents[{number}]")
        for number, agent in enumerate(blueprint.agents)
    )


def bind_requests(bound: tuple[BoundAgent, ...]) -> Iterator[BindRequest]:
    """Yield a request for each agent whose runner a provider has to supply."""
    for one in bound:
        runner = one.runner
        if runner is None or isinstance(runner, SubprocessRunner):
            continue
        if BACKENDS[runner.backend] != one.kind:
            # The runner is unused; the lint binding-resolution-error reports it.
            continue
        profile = one.agent.profile
        variant = (
            runner.variant if isinstance(runner, WsOperator | WsClaudeCode) else None
        )
        yield BindRequest(
            agent=one.agent.name,
            request_digest=one.digest(),
            backend=runner.backend,
            binding_target=one.rules.seat(one) or None,
            requested_model=None if profile is None else profile.model,
            requested_tools=tuple(sorted(set(runner.tools))),
            launch_variant=variant,
        )


class _Binder:
    def __init__(self, blueprint: Blueprint, legacy_bindings: bool) -> None:
        self._blueprint = blueprint
        self._runners: dict[str, Runner] = {}
        for one in blueprint.runners:
            self._runners.setdefault(one.name, one.runner)
        self._templates = {one.name: one for one in blueprint.subprocesses}
        self._legacy_bindings = legacy_bindings
        self._unknown_runners = 0

    def bind(self, agent: AgentDef, place: str) -> BoundAgent:
        kind = agent.kind or self._blueprint.default_agent_kind or ""
        kind = KIND_ALIASES.get(kind, kind)
        rules = KINDS.get(kind, ANY_KIND)
        runner, source, fault = self._find_runner(agent, place, rules)
        template = None
        if isinstance(runner, SubprocessRunner):
            template = self._templates.get(runner.template)
        policy = agent.meta.context_policy if agent.meta is not None else None
        policy = self._blueprint.default_context_policy if policy is None else policy
        return BoundAgent(
            place, agent, kind, rules, runner, source, template, policy, fault
        )

    def _find_runner(
        self, agent: AgentDef, place: str, rules: AgentKind
    ) -> tuple[Runner | None, str, Finding | None]:
        """Return the runner of an agent, its source, and the error instead of one."""
        element = Element("Agent", agent.name)
        if agent.runner is not None:
            return agent.runner, "agent_inline", None
        ref, profile = agent.runner_ref, agent.profile
        if ref is not None:
            if ref in self._runners:
                return self._runners[ref], "agent_ref", None
            self._unknown_runners += 1
            # A hint costs a search, and a report shows no more than MOST findings.
            names = self._runners if self._unknown_runners <= MOST + 1 else None
            at = f"{place}.runner_ref"
            return None, "none", _unknown_runner(at, "runner_ref", ref, names, element)
        if profile is not None and profile.worker_binding is not None:
            if self._legacy_bindings:
                variant, tools = profile.worker_binding, list(profile.tools)
                legacy = WsClaudeCode(
                    backend="ws_claude_code", variant=variant, tools=tools
                )
                return legacy, "legacy_worker_binding", None
            message = "legacy worker bindings are switched off in this installation"
            hint = "write a runner instead; `blueprint upgrade` does it"
            at = f"{place}.profile.worker_binding"
            return None, "none", Finding(at, message, hint, element=element)
        default = self._runners.get(self._blueprint.default_runner or "")
        serves = default is not None and default.backend in rules.backends
        if serves and rules.takes_default_runner(agent):
            return default, "blueprint_default", None
        return None, "none", None


def find_default_runner_errors(blueprint: Blueprint) -> Iterator[Finding]:
    """Yield an error if the document's default runner does not exist."""
    wanted, names = blueprint.default_runner, [one.name for one in blueprint.runners]
    if wanted is not None and wanted not in names:
        yield _unknown_runner("$.default_runner", "default_runner", wanted, names)


def _unknown_runner(
    place: str,
    field: str,
    ref: str,
    names: Collection[str] | None,
    element: Element | None = None,
) -> Finding:
    message = f"{field} names the runner {ref!r}, which does not exist"
    if names is None:
        return Finding(place, message, element=element)
    hint = did_you_mean(ref, names) or "the Blueprint has no runners"
    return Finding(
        place, message, hint, (f"defined: {listed(names)}",), element=element
    )
