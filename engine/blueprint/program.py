"""A Program: a compiled Blueprint, complete, immutable and addressed by its content."""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final

from engine.flow import Dialect, dump_compact, parse_node
from engine.flow.json_text import Json
from engine.flow.nodes import Node

FORMAT: Final = 2
MOST_ATTEMPTS: Final = 99
QUEUE_SUFFIX: Final[Mapping[str, str]] = {"hi": ".hi", "std": "", "lo": ".lo"}
"""What a priority adds to the name of a queue, the most urgent first."""
"""The most attempts that a policy may allow a step: what a chain's record can count."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt that raised or timed out is tried again.

    `max_attempts` counts the first one too, so 1 means never and MOST_ATTEMPTS is the
    most. Waits double from `base_ms` up to `cap_ms` and are spread by the fraction
    `jitter`; `budget_ms` bounds their sum, 0 is no bound. Errors of a type named in `never` are not tried again.
    """

    max_attempts: int = 1
    base_ms: int = 1_000
    cap_ms: int = 60_000
    jitter: float = 0.2
    budget_ms: int = 0
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """Who does a step: its kind, the queue its steps go to and its policy.

    `spec` is the kind's own part with its defaults, or a template, filled in.
    `timeout_ms` is None where the installation decides. What follows is as the
    Blueprint has it, with every reference resolved: `ctx` are its tiers
    merged, `binding_digest` names the snapshot of what the agent is bound to.
    `work_dir` is the folder that the launch has given the run, an absolute path.
    """

    name: str
    kind: str
    queue: str
    timeout_ms: int | None
    retry: Retry = field(default_factory=Retry)
    spec: Mapping[str, Json] = field(default_factory=dict)
    profile: Mapping[str, Json] | None = None
    runner: Mapping[str, Json] | None = None
    runner_source: str = "none"
    verdict: Mapping[str, Json] | None = None
    context_policy: Mapping[str, Json] | None = None
    ctx: Mapping[str, Json] = field(default_factory=dict)
    limit: Mapping[str, Json] | None = None
    binding_digest: str = ""
    work_dir: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Writes the agent as JSON; what came later only where it says something.

        So a Blueprint that doesn't use a new word keeps the hash it had.
        """
        retry = {**asdict(self.retry), "never": list(self.retry.never)}
        return {
            "name": self.name,
            "kind": self.kind,
            "queue": self.queue,
            "timeout_ms": self.timeout_ms,
            "retry": retry,
            "spec": dict(self.spec),
            "profile": None if self.profile is None else dict(self.profile),
            **_said(self, _AGENT_ALWAYS),
        }

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Agent":
        """Reads what `to_json` wrote."""
        retry = Retry(**{**value["retry"], "never": tuple(value["retry"]["never"])})
        return Agent(**{**value, "retry": retry})


@dataclass(frozen=True)
class Program:
    """Everything a worker needs to know of a Blueprint to carry a run of it.

    `flow_json` is the flow in its canonical spelling of `dialect`, `agents` is by name
    and `run_deadline_s` is None where the Blueprint sets none. The rest is what the
    Blueprint says for the whole run; `step_names` maps every public name of an output
    to its canonical one, `metas` are the bags that `$step_meta` may name. Not to be
    changed, its JSON parts included: `program_id` is kept once computed.
    """

    blueprint_id: str
    flow_json: Json
    agents: Mapping[str, Agent]
    default_init_ctx: Json = None
    run_deadline_s: int | None = None
    dialect: Dialect = "flow.ir"
    layers: tuple[str, ...] = ()
    operators: Mapping[str, Json] = field(default_factory=dict)
    default_operator_kind: str | None = None
    metas: Mapping[str, Json] = field(default_factory=dict)
    audits: tuple[Mapping[str, Json], ...] = ()
    step_names: Mapping[str, str] = field(default_factory=dict)
    projection: Mapping[str, Json] | None = None
    strict_binding: bool = False
    check_policy: str | None = None
    degradation_policy: str | None = None
    project_name_alias: str | None = None

    @cached_property
    def flow(self) -> Node:
        """The parsed flow."""
        return parse_node(self.flow_json, self.dialect)

    @cached_property
    def program_id(self) -> str:
        """The sha-256 of the canonical JSON, as 64 hex digits."""
        return hashlib.sha256(dump_compact(self.to_json()).encode()).hexdigest()

    def in_folder(self, work_dir: str) -> "Program":
        """Returns the program of a run that is launched to work in a folder."""
        agents = {
            name: replace(agent, work_dir=work_dir)
            for name, agent in self.agents.items()
        }
        return replace(self, agents=agents)

    def to_json(self) -> dict[str, Json]:
        """Writes the program as JSON, as `Agent.to_json` does."""
        return {
            "format": FORMAT,
            "blueprint_id": self.blueprint_id,
            "flow": self.flow_json,
            "agents": {name: agent.to_json() for name, agent in self.agents.items()},
            "default_init_ctx": self.default_init_ctx,
            "run_deadline_s": self.run_deadline_s,
            **_said(self, _PROGRAM_ALWAYS),
        }

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Program":
        """Reads what `to_json` wrote; raises ValueError for another format."""
        if value.get("format") != FORMAT:
            found = value.get("format")
            raise ValueError(f"program format {found!r} can't be read, only {FORMAT}")
        later: dict[str, Any] = {
            name: tuple(value[name]) if name in _TUPLES else value[name]
            for name in (f.name for f in fields(Program))
            if name in value and name not in _PROGRAM_ALWAYS
        }
        agents = value["agents"]
        return Program(
            blueprint_id=value["blueprint_id"],
            flow_json=value["flow"],
            agents={name: Agent.from_json(agent) for name, agent in agents.items()},
            default_init_ctx=value["default_init_ctx"],
            run_deadline_s=value["run_deadline_s"],
            **later,
        )


# The fields that are written whatever they say.
_AGENT_ALWAYS: Final = frozenset(
    {"name", "kind", "queue", "timeout_ms", "retry", "spec", "profile"}
)
_PROGRAM_ALWAYS: Final = frozenset(
    {"blueprint_id", "flow_json", "agents", "default_init_ctx", "run_deadline_s"}
)
_TUPLES: Final = frozenset({"layers", "audits"})


def _said(thing: Agent | Program, always: frozenset[str]) -> dict[str, Json]:
    """Returns the other fields that differ from their defaults."""
    said: dict[str, Json] = {}
    for one in fields(thing):
        value = getattr(thing, one.name)
        default = one.default
        if default is MISSING and one.default_factory is not MISSING:
            default = one.default_factory()
        if one.name not in always and value != default:
            said[one.name] = list(value) if isinstance(value, tuple) else value
    return said


def merge_init_ctx(*tiers: Json) -> Json:
    """Returns a run's initial Ctx from its tiers, the lowest first.

    Objects are merged by top-level key and a later tier wins; another value replaces
    all before it; None says nothing. No tier at all is an empty object. Source:
    reference-language 2.5.
    """
    merged: Json = {}
    for tier in tiers:
        if tier is None:
            continue
        if isinstance(tier, dict) and isinstance(merged, dict):
            merged = {**merged, **tier}
        else:
            merged = tier
    return merged
