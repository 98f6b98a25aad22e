"""The view of a Blueprint that all checks share: document, model, nodes, analysis."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from engine.blueprint.analysis.absent_reads import AbsentRead, find_absent_reads
from engine.blueprint.analysis.binding import bind_agents
from engine.blueprint.analysis.flow_shapes import FlowShapes, find_shapes
from engine.blueprint.analysis.flow_walk import Spot, agents_named_in
from engine.blueprint.analysis.naming import StepNames, name_steps
from engine.blueprint.analysis.signatures import Signature, answer_shape
from engine.blueprint.analysis.source_places import SourcePlaces, agent_field
from engine.blueprint.analysis.verdict_tests import VerdictTest, find_tests
from engine.blueprint.findings.diagnostics import Diagnostic
from engine.blueprint.kinds.registry import KINDS
from engine.blueprint.kinds.rules import BoundAgent
from engine.blueprint.schema.document import Blueprint
from engine.blueprint.schema.policy import AgentHints, AgentPolicy
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class LintOptions:
    """The caller's settings and knowledge beyond the document.

    `lints` is the nearest layer of allow, warn and deny (in any case). `mcp_tools` are
    the live tools by server, `wrappers` the tools that wrapper files grant by variant,
    `launch` is the Ctx of a possible launch, and `dsl_warnings` are those of the Lua DSL
    about the script of the document. `signatures` is what the code of each agent takes
    and gives. `result_bytes` is the largest final Ctx that can be shown. An absent field switches its lint off.
    """

    lints: Mapping[str, str] = field(default_factory=dict)
    mcp_tools: Mapping[str, Collection[str]] = field(default_factory=dict)
    wrappers: Mapping[str, Collection[str]] = field(default_factory=dict)
    launch: Mapping[str, Json] | None = None
    externs: Collection[str] = ()
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    dsl_warnings: Sequence[str] = ()
    warn_bytes: int = 25_600
    warn_lines: int = 200
    block_bytes: int = 51_200
    block_lines: int = 500
    block: bool = False
    result_bytes: int = 32 << 20


class FlowHasFaults(Exception):
    """A check needs the flow, which has faults: nothing can be found in it."""


@dataclass(frozen=True)
class View:
    """A Blueprint whose shape is valid.

    `root` is the root of the flow in its normal form, as a program stores it, and
    `places` finds its places in the document; with `faults` the flow is unknown. `kinds` None stands for every kind; `lint_kinds` maps
    each kind of finding to whether a layer can allow it.
    """

    document: Json
    blueprint: Blueprint
    root: Spot
    places: SourcePlaces
    faults: tuple[Diagnostic, ...] = ()
    kinds: Collection[str] | None = None
    legacy_bindings: bool = True
    options: LintOptions = field(default_factory=LintOptions)
    lint_kinds: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def spots(self) -> list[Spot]:
        """Every node of the flow with its place in it, in the order of the document.

        Raises FlowHasFaults.
        """
        if self.faults:
            raise FlowHasFaults
        return self.root.walk()

    @cached_property
    def steps(self) -> list[Spot]:
        """The steps of the flow, in the order of the document."""
        return [spot for spot in self.spots if spot.kind == "step"]

    @property
    def refs(self) -> Iterator[tuple[str, str]]:
        """The agent that each step names, with its place, also of a flow with faults."""
        field = agent_field(self.blueprint.dialect)
        if self.faults:
            return agents_named_in(self.blueprint.flow, field)
        return ((f"{spot.place}.{field}", spot.node["ref"]) for spot in self.steps)

    @cached_property
    def bound(self) -> tuple[BoundAgent, ...]:
        """Every agent with its runner, in the order of the document."""
        return bind_agents(self.blueprint, legacy_bindings=self.legacy_bindings)

    @cached_property
    def runnable(self) -> tuple[BoundAgent, ...]:
        """The agents whose kind can run; the strategy refuses or drops the others."""
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
    def policies(self) -> Mapping[str, AgentPolicy]:
        """The policies by agent: its own fields, and the hints about it.

        The compiler refuses a field that both give.
        """
        hints = self.blueprint.hints.per_agent
        return {
            name: AgentPolicy.model_construct(
                **{
                    **hints.get(name, AgentHints()).policy().given(),
                    **one.agent.given(),
                }
            )
            for name, one in self.agents.items()
        }

    @cached_property
    def projection_names(self) -> Mapping[str, str]:
        """The public names that agents declare, by agent."""
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
    def tests(self) -> list[VerdictTest]:
        """The comparisons of steps' answers, in the order of the flow."""
        return find_tests(self.spots[0], self.blueprint.default_init_ctx)

    @cached_property
    def shapes(self) -> FlowShapes:
        """What the Ctx can have at each node, and what the expressions can give."""
        init = self.blueprint.default_init_ctx
        answers = {
            name: answer_shape(
                one.agent.verdict, self.options.signatures.get(name, Signature())
            )
            for name, one in self.agents.items()
        }
        return find_shapes(self.spots[0], init, self.options.launch, answers)

    @cached_property
    def absent_reads(self) -> list[AbsentRead]:
        """The reads of paths where nothing can be, the first of each path."""
        return find_absent_reads(self.spots, self.shapes)

    @cached_property
    def named_verdicts(self) -> Mapping[str, set[str]]:
        """The texts that conditions compare with answers, by agent."""
        named: dict[str, set[str]] = {}
        for test in self.tests:
            for ref in test.producers:
                named.setdefault(ref, set()).update(test.comparison.texts)
        return named
