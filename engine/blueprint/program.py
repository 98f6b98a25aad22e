"""A Program: a compiled Blueprint, complete, immutable and addressed by its content."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Final

from engine.flow import Dialect, dump_compact, parse_node
from engine.flow.json_text import Json
from engine.flow.nodes import Node

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt that raised or timed out is tried again.

    `max` counts all attempts, so 1 means never. Waits double from `base_ms` up to
    `cap_ms` and are spread by the fraction `jitter`; `budget_ms` bounds their sum, 0
    is no bound. Errors of a type named in `never` are not tried again.
    """

    max: int = 1
    base_ms: int = 1_000
    cap_ms: int = 60_000
    jitter: float = 0.2
    budget_ms: int = 0
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """Who does a step: its kind, the queue its steps go to and its policy.

    `spec` is the kind's own part with its defaults filled in. `max_lost` caps the
    attempts lost to dead workers, apart from `retry`.
    """

    name: str
    kind: str
    queue: str
    timeout_ms: int
    retry: Retry = field(default_factory=Retry)
    spec: Mapping[str, Json] = field(default_factory=dict)
    profile: Mapping[str, Json] | None = None
    max_lost: int = 3

    def to_json(self) -> dict[str, Json]:
        """Writes the agent as JSON."""
        retry = {**asdict(self.retry), "never": list(self.retry.never)}
        return {
            "name": self.name,
            "kind": self.kind,
            "queue": self.queue,
            "timeout_ms": self.timeout_ms,
            "retry": retry,
            "spec": dict(self.spec),
            "profile": None if self.profile is None else dict(self.profile),
            "max_lost": self.max_lost,
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
    and `run_deadline_s` is None where the Blueprint sets none. Not to be changed, its
    JSON parts included: `program_id` is kept once computed.
    """

    blueprint_id: str
    flow_json: Json
    agents: Mapping[str, Agent]
    default_init_ctx: Json = None
    run_deadline_s: int | None = None
    dialect: Dialect = "flow.ir"

    @cached_property
    def flow(self) -> Node:
        """The parsed flow."""
        return parse_node(self.flow_json, self.dialect)

    @cached_property
    def program_id(self) -> str:
        """The sha-256 of the canonical JSON, as 64 hex digits."""
        return hashlib.sha256(dump_compact(self.to_json()).encode()).hexdigest()

    def to_json(self) -> dict[str, Json]:
        """Writes the program as JSON; the dialect only where it is not flow.ir."""
        dialect = {} if self.dialect == "flow.ir" else {"dialect": self.dialect}
        return {
            "format": FORMAT,
            **dialect,
            "blueprint_id": self.blueprint_id,
            "flow": self.flow_json,
            "agents": {name: agent.to_json() for name, agent in self.agents.items()},
            "default_init_ctx": self.default_init_ctx,
            "run_deadline_s": self.run_deadline_s,
        }

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> "Program":
        """Reads what `to_json` wrote; raises ValueError for another format."""
        if value.get("format") != FORMAT:
            found = value.get("format")
            raise ValueError(f"program format {found!r} can't be read, only {FORMAT}")
        agents = value["agents"]
        return Program(
            blueprint_id=value["blueprint_id"],
            flow_json=value["flow"],
            agents={name: Agent.from_json(agent) for name, agent in agents.items()},
            default_init_ctx=value["default_init_ctx"],
            run_deadline_s=value["run_deadline_s"],
            dialect=value.get("dialect", "flow.ir"),
        )


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
