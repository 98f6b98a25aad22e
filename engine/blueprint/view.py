"""A Blueprint as the checks see it: document, models, nodes and what follows of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from engine.blueprint.binding import BoundAgent, bind_agents
from engine.blueprint.dataflow import Test, find_tests, referenced
from engine.blueprint.flow_walk import Spot, walk_nodes
from engine.blueprint.kinds import KINDS
from engine.blueprint.naming import StepNames, name_steps
from engine.blueprint.schema import Blueprint
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What the caller of the lints knows beyond the document.

    `lints` is the nearest layer of allow, warn and deny (any case). `mcp_tools` are
    the live tools by server, `wrappers` the tools that wrapper files grant by variant;
    `launch` is the Ctx of a launch to be tried out, `remarks` what a script's DSL said
    while it made the document. Absent ones switch their lint off.
    """

    lints: Mapping[str, str] = field(default_factory=dict)
    mcp_tools: Mapping[str, Collection[str]] = field(default_factory=dict)
    wrappers: Mapping[str, Collection[str]] = field(default_factory=dict)
    launch: Mapping[str, Json] | None = None
    externs: Collection[str] = ()
    remarks: Sequence[str] = ()
    warn_bytes: int = 25_600
    warn_lines: int = 200
    block_bytes: int = 51_200
    block_lines: int = 500
    block: bool = False


@dataclass(frozen=True)
class View:
    """One Blueprint, checked for its shape.

    `kinds` None stands for every kind; `lint_kinds` says of every kind of finding
    whether it can be allowed.
    """

    document: Json
    blueprint: Blueprint
    kinds: Collection[str] | None = None
    legacy_bindings: bool = True
    options: LintOptions = field(default_factory=LintOptions)
    lint_kinds: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def spots(self) -> list[Spot]:
        """Every node of the flow with its place, in the order of the document."""
        return walk_nodes(self.document["flow"])

    @cached_property
    def steps(self) -> list[Spot]:
        """The steps among them."""
        return [spot for spot in self.spots if spot.kind == "step"]

    @cached_property
    def bound(self) -> tuple[BoundAgent, ...]:
        """Every agent with what the runner cascade gives it."""
        return bind_agents(self.blueprint, legacy_bindings=self.legacy_bindings)

    @cached_property
    def kept(self) -> tuple[BoundAgent, ...]:
        """The agents of kinds that can run; the others are errors or are dropped."""
        kinds = KINDS if self.kinds is None else self.kinds
        return tuple(one for one in self.bound if one.kind in kinds)

    @cached_property
    def agents(self) -> Mapping[str, BoundAgent]:
        """The agents by name, the first of each name."""
        named: dict[str, BoundAgent] = {}
        for one in self.bound:
            named.setdefault(one.agent.name, one)
        return named

    @cached_property
    def operator_names(self) -> Collection[str]:
        """The names of the operators, in the order of the document."""
        return {one.name: None for one in self.blueprint.operators}.keys()

    @cached_property
    def meta_names(self) -> Collection[str]:
        """The names of the metas, in the order of the document."""
        return {one.name: None for one in self.blueprint.metas}.keys()

    @cached_property
    def projection_names(self) -> Mapping[str, str]:
        """The public names agents ask for, by agent."""
        return {
            one.agent.name: one.agent.meta.projection_name
            for one in self.agents.values()
            if one.agent.meta is not None and one.agent.meta.projection_name is not None
        }

    @cached_property
    def names(self) -> StepNames:
        """The public names of the steps' outputs."""
        return name_steps(self.steps, self.projection_names)

    @cached_property
    def tests(self) -> list[Test]:
        """The comparisons of steps' answers in conditions."""
        return find_tests(self.spots[0], self.blueprint.default_init_ctx)

    @cached_property
    def named_verdicts(self) -> Mapping[str, set[str]]:
        """The texts that conditions compare answers with, by agent."""
        return referenced(self.tests)

    @cached_property
    def compared(self) -> Collection[str]:
        """The agents whose answers are compared with what the document doesn't give."""
        return {ref for test in self.tests if test.foreign for ref in test.producers}
