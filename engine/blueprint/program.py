"""A Program: a compiled Blueprint, complete, immutable and addressed by its content."""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final

from engine.flow import Dialect, dump_compact, read_node
from engine.flow.json_text import Json
from engine.flow.nodes import Node

FORMAT: Final = 2
MOST_ATTEMPTS: Final = 99
"""The most attempts that a policy may allow a step: the most a chain's record can count."""
QUEUE_SUFFIX: Final[Mapping[str, str]] = {"hi": ".hi", "std": "", "lo": ".lo"}
"""The suffix of a queue's name for each priority, the most urgent first."""


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

    `spec` is the kind's part, complete with defaults or the shared template.
    `timeout_ms` is None where the installation decides. The fields below are those of
    the Blueprint, with every reference resolved: `ctx` is the merge of its tiers, and
    `binding_digest` identifies the agent's runner, template and context policy.
    `work_dir` is the absolute path of the folder that the launch gives the run.
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
        """Write the agent as JSON, newer fields only where they differ from defaults.

        So a Blueprint that does not use a new field keeps its hash.
        """
        retry = {**asdict(self.retry), "never": list(self.retry.never)}
        return {**_write_fields(self, _AGENT_ALWAYS), "retry": retry}

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Agent":
        """Read the JSON of `to_json`."""
        retry = Retry(**{**value["retry"], "never": tuple(value["retry"]["never"])})
        return Agent(**{**value, "retry": retry})


@dataclass(frozen=True)
class Program:
    """The parts of a Blueprint that a worker needs for its runs.

    `flow_json` is the flow in the canonical form of `dialect`, `agents` is by name, and
    `run_deadline_s` is None where the Blueprint sets none. The other fields are those
    of the Blueprint for whole runs; `step_names` maps every public name of an output to
    its canonical one, `metas` are the bags that `$step_meta` may name. Do not change a
    program or its JSON parts: `program_id` is computed once.
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
        return read_node(self.flow_json, self.dialect)

    @cached_property
    def program_id(self) -> str:
        """The sha-256 of the canonical JSON, as 64 hex digits."""
        return hashlib.sha256(dump_compact(self.to_json()).encode()).hexdigest()

    def in_folder(self, work_dir: str) -> "Program":
        """Return the program of a run whose agents work in a folder."""
        agents = {
            name: replace(agent, work_dir=work_dir)
            for name, agent in self.agents.items()
        }
        return replace(self, agents=agents)

    def to_json(self) -> dict[str, Json]:
        """Write the program as JSON, as `Agent.to_json` does."""
        written = _write_fields(self, _PROGRAM_ALWAYS)
        written["flow"] = written.pop("flow_json")
        agents = {name: agent.to_json() for name, agent in self.agents.items()}
        return {**written, "format": FORMAT, "agents": agents}

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Program":
        """Read the JSON of `to_json`; raises ValueError for another format."""
        if value.get("format") != FORMAT:
            found = value.get("format")
            raise ValueError(f"program format {found!r} can't be read, only {FORMAT}")
        read: dict[str, Any] = {
            one.name: tuple(value[one.name]) if one.name in _TUPLES else value[one.name]
            for one in fields(Program)
            if one.name in value
        }
        read["flow_json"] = value["flow"]
        read["agents"] = {
            name: Agent.from_json(agent) for name, agent in value["agents"].items()
        }
        return Program(**read)


# The fields that are always written.
_AGENT_ALWAYS: Final = frozenset(
    {"name", "kind", "queue", "timeout_ms", "retry", "spec", "profile"}
)
_PROGRAM_ALWAYS: Final = frozenset(
    {"blueprint_id", "flow_json", "agents", "default_init_ctx", "run_deadline_s"}
)
_TUPLES: Final = frozenset({"layers", "audits"})


def _write_fields(thing: Agent | Program, always: frozenset[str]) -> dict[str, Json]:
    """Return the fields in `always`, and the others that differ from their defaults."""
    written: dict[str, Json] = {}
    for one in fields(thing):
        value = getattr(thing, one.name)
        default = one.default
        if one.default_factory is not MISSING:
            default = one.default_factory()
        if one.name in always or value != default:
            written[one.name] = list(value) if isinstance(value, tuple) else value
    return written


def merge_init_ctx(*tiers: Json) -> Json:
    """Return a run's initial Ctx from its tiers, the lowest first.

    Objects are merged by top-level key and a later tier wins; any other value replaces
    all tiers before it; None is skipped. Without a tier the Ctx is an empty object.
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
