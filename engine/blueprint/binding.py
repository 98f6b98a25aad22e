"""The runner cascade and the snapshot of what each agent was bound to (2.3)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from engine.blueprint.diagnostics import MOST, Element, Finding
from engine.blueprint.schema import Blueprint
from engine.blueprint.schema_agents import AgentDef, ContextPolicy
from engine.blueprint.schema_errors import did_you_mean, listed
from engine.blueprint.schema_runners import Runner, WsClaudeCode, WsOperator
from engine.blueprint.subprocess_spec import SubprocessDef, SubprocessRunner
from engine.flow.json_text import Json

# The kinds that a backend can serve; a default runner is for these only.
BACKENDS: Final[Mapping[str, str]] = {
    "ws_operator": "operator",
    "ws_claude_code": "operator",
    "agent_block_in_process": "agent_block",
    "subprocess": "subprocess",
}
KIND_ALIASES: Final[Mapping[str, str]] = {"rust_fn": "python_fn"}


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """An agent with its kind, runner, template and context policy resolved.

    `source` says where the runner came from; `fault` is set where the cascade failed.
    """

    place: str
    agent: AgentDef
    kind: str
    runner: Runner | None
    source: str
    template: SubprocessDef | None
    context_policy: ContextPolicy | None
    fault: Finding | None = None

    @property
    def element(self) -> Element:
        """What findings about this agent are about."""
        return Element("Agent", self.agent.name)

    @property
    def tools(self) -> list[str]:
        """The tools the agent is granted: the runner's, else the profile's."""
        if self.runner is not None and not isinstance(self.runner, SubprocessRunner):
            return list(self.runner.tools)
        return [] if self.agent.profile is None else list(self.agent.profile.tools)

    def digest(self, attestation: Json = None) -> str:
        """Returns the digest of the snapshot as `sha256:` and 64 hex digits.

        A template counts with its content, so that editing it is seen.
        """
        snapshot: dict[str, Json] = {
            "agent": self.agent.name,
            "runner": None if self.runner is None else self.runner.model_dump(),
            "context_policy": _dumped(self.context_policy),
            "runner_source": self.source,
            "attestation": attestation,
        }
        if self.template is not None:
            snapshot["template"] = self.template.model_dump()
        text = json.dumps(snapshot, ensure_ascii=False, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class BindRequest:
    """What an agent asks of whoever provides operators and models."""

    agent: str
    request_digest: str
    backend: str
    binding_target: str | None
    requested_model: str | None
    requested_tools: tuple[str, ...]
    launch_variant: str | None

    def to_json(self) -> dict[str, Json]:
        """Writes the request as JSON."""
        return {
            "agent": self.agent,
            "request_digest": self.request_digest,
            "backend": self.backend,
            "binding_target": self.binding_target,
            "requested_model": self.requested_model,
            "requested_tools": list(self.requested_tools),
            "launch_variant": self.launch_variant,
        }


@dataclass(slots=True)
class _Shared:
    """What all agents of a Blueprint are bound with; `faults` counts those without."""

    blueprint: Blueprint
    runners: Mapping[str, Runner]
    templates: Mapping[str, SubprocessDef]
    legacy_bindings: bool
    faults: int = 0

    def unknown_runner(self, place: str, agent: AgentDef, ref: str) -> Finding:
        """Return the finding for a runner_ref that leads nowhere."""
        self.faults += 1
        hint, notes = "", tuple[str, ...]()
        # Each of these costs a search, and no more of them are told.
        if self.faults <= MOST + 1:
            hint = did_you_mean(ref, self.runners) or "the Blueprint has no runners"
            notes = _defined(self.runners)
        message = f"runner_ref names the runner {ref!r}, which isn't there"
        element = Element("Agent", agent.name)
        return Finding(f"{place}.runner_ref", message, hint, notes, element=element)


def kind_of(blueprint: Blueprint, agent: AgentDef) -> str:
    """Returns an agent's kind, aliases resolved; empty where nothing names one."""
    written = agent.kind or blueprint.default_agent_kind or ""
    return KIND_ALIASES.get(written, written)


def bind_agents(
    blueprint: Blueprint, *, legacy_bindings: bool = True
) -> tuple[BoundAgent, ...]:
    """Returns each agent with what the runner cascade gives it, in order."""
    runners: dict[str, Runner] = {}
    for one in blueprint.runners:
        runners.setdefault(one.name, one.runner)
    shared = _Shared(
        blueprint,
        runners,
        {one.name: one for one in blueprint.subprocesses},
        legacy_bindings,
    )
    return tuple(
        _bind(shared, agent, f"$.agents[{number}]")
        for number, agent in enumerate(blueprint.agents)
    )


def bind_requests(bound: tuple[BoundAgent, ...]) -> Iterator[BindRequest]:
    """Yields a request for each agent whose runner someone else provides."""
    for one in bound:
        runner = one.runner
        if runner is None or isinstance(runner, SubprocessRunner):
            continue
        if BACKENDS[runner.backend] != one.kind:
            # Told by binding-resolution-error; nobody will use it.
            continue
        spec = one.agent.spec if isinstance(one.agent.spec, dict) else {}
        target = spec.get("operator_ref")
        profile = one.agent.profile
        variant = (
            runner.variant if isinstance(runner, WsOperator | WsClaudeCode) else None
        )
        yield BindRequest(
            agent=one.agent.name,
            request_digest=one.digest(),
            backend=runner.backend,
            binding_target=target if isinstance(target, str) and target else None,
            requested_model=None if profile is None else profile.model,
            requested_tools=tuple(sorted(set(runner.tools))),
            launch_variant=variant,
        )


def _bind(shared: _Shared, agent: AgentDef, place: str) -> BoundAgent:
    blueprint = shared.blueprint
    kind = kind_of(blueprint, agent)
    runner, source, fault = _cascade(shared, agent, place, kind)
    template = None
    if isinstance(runner, SubprocessRunner):
        template = shared.templates.get(runner.template)
    policy = agent.meta.context_policy if agent.meta is not None else None
    policy = blueprint.default_context_policy if policy is None else policy
    return BoundAgent(place, agent, kind, runner, source, template, policy, fault=fault)


def _cascade(
    shared: _Shared, agent: AgentDef, place: str, kind: str
) -> tuple[Runner | None, str, Finding | None]:
    """Returns the first runner the cascade finds, its source, and what went wrong."""
    if agent.runner is not None:
        return agent.runner, "agent_inline", None
    named, ref = shared.runners, agent.runner_ref
    if ref is not None:
        if ref in named:
            return named[ref], "agent_ref", None
        return None, "none", shared.unknown_runner(place, agent, ref)
    profile = agent.profile
    if profile is not None and profile.worker_binding is not None:
        if shared.legacy_bindings:
            variant, tools = profile.worker_binding, list(profile.tools)
            legacy = WsClaudeCode(
                backend="ws_claude_code", variant=variant, tools=tools
            )
            return legacy, "legacy_worker_binding", None
        message = "legacy worker bindings are switched off in this installation"
        hint = "write a runner instead; `manage.py blueprint upgrade` does it"
        at = f"{place}.profile.worker_binding"
        element = Element("Agent", agent.name)
        return None, "none", Finding(at, message, hint, element=element)
    default = named.get(shared.blueprint.default_runner or "")
    # Who says `spec` of a process says all; a default template is for the others.
    says_all = kind == "subprocess" and bool(agent.spec)
    if default is not None and BACKENDS[default.backend] == kind and not says_all:
        return default, "blueprint_default", None
    return None, "none", None


def default_runner_fault(blueprint: Blueprint) -> Finding | None:
    """Returns what is wrong with the document's default runner, if anything."""
    wanted = blueprint.default_runner
    names = [one.name for one in blueprint.runners]
    if wanted is None or wanted in names:
        return None
    message = f"default_runner names the runner {wanted!r}, which isn't there"
    hint = did_you_mean(wanted, names) or "the Blueprint has no runners"
    return Finding("$.default_runner", message, hint, _defined(names))


def _defined(names: Iterable[str]) -> tuple[str, ...]:
    return (f"defined: {listed(names)}",)


def _dumped(policy: ContextPolicy | None) -> Json:
    return None if policy is None else policy.model_dump()
