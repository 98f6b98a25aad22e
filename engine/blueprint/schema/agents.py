"""The agents and what belongs to them: runners, operators, metas and audits."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from engine.blueprint.schema.policy import AgentPolicy
from engine.blueprint.schema.strict import Name, Strict
from engine.blueprint.schema.subprocess_template import SubprocessRunner
from engine.flow.json_text import Json

OperatorKind: TypeAlias = Literal["main_ai", "automate", "composite"]
LintSetting: TypeAlias = Literal["allow", "warn", "deny"]
# Keys are not checked here: an unknown one is a lint's finding, not an error.
LintLayer: TypeAlias = dict[str, LintSetting]


Tools: TypeAlias = list[Name]


class WsOperator(Strict):
    """An operator who works over the network, of any provider."""

    backend: Literal["ws_operator"]
    variant: Name
    tools: Tools = []


class WsClaudeCode(Strict):
    """An operator that runs Claude Code; the older form is `worker_binding`."""

    backend: Literal["ws_claude_code"]
    variant: Name
    tools: Tools = []


class AgentBlockInProcess(Strict):
    """A language model driven by the worker, with no other tools than `tools`."""

    backend: Literal["agent_block_in_process"]
    tools: Tools = []


Runner: TypeAlias = Annotated[
    WsOperator | WsClaudeCode | AgentBlockInProcess | SubprocessRunner,
    Field(discriminator="backend"),
]


class RunnerDef(Strict):
    """A runner with a name, for `runner_ref` and `default_runner`."""

    name: Name
    runner: Runner


class AgentProfile(Strict):
    """The persona of an agent."""

    system_prompt: str = ""
    model: str | None = None
    effort: str | None = None
    tools: list[str] = []
    description: str | None = None
    extras: Json = None
    version_hash: str | None = None
    worker_binding: Name | None = None


class ContextPolicy(Strict):
    """The part of the context that an agent sees; null stands for everything."""

    include: list[str] | None = None
    exclude: list[str] = []
    steps: list[str] | None = None
    steps_exclude: list[str] = []


class AgentMeta(Strict):
    """The description of an agent, its ctx and the name of its output."""

    description: str | None = None
    version: str | None = None
    tags: list[str] = []
    ctx: dict[str, Json] | None = None
    context_policy: ContextPolicy | None = None
    meta_ref: Name | None = None
    projection_name: Name | None = None


class VerdictContract(Strict):
    """The closed set of verdicts an agent may answer, and the channel they use."""

    channel: Literal["body", "part"]
    values: Annotated[
        list[str], Field(min_length=1, json_schema_extra={"uniqueItems": True})
    ]

    @model_validator(mode="after")
    def check_values(self) -> "VerdictContract":
        """Refuse a repeated verdict."""
        seen: set[str] = set()
        for value in self.values:
            if value in seen:
                raise ValueError(f"values has {value!r} twice; drop one")
            seen.add(value)
        return self


class AgentDef(AgentPolicy):
    """One worker definition, which steps name by its `name`.

    `kind` may be left out where the document has a `default_agent_kind`.
    """

    name: Name
    kind: str | None = None
    spec: Json = None
    profile: AgentProfile | None = None
    meta: AgentMeta | None = None
    runner: Runner | None = None
    runner_ref: Name | None = None
    verdict: VerdictContract | None = None
    lints: LintLayer | None = None


class OperatorDef(Strict):
    """A logical seat; the session that takes it is decided during the run."""

    name: Name
    display_name: str | None = None
    kind: OperatorKind | None = None
    spec: Json = None
    profile: AgentProfile | None = None
    meta: AgentMeta | None = None


class MetaDef(Strict):
    """A named bag of ctx, for `meta_ref` and `$step_meta`."""

    name: Name
    ctx: dict[str, Json]


class AuditDef(Strict):
    """An agent that reviews steps after they have ended."""

    agent: Name
    steps: list[Annotated[str, Field(min_length=1)]] | None = None
    mode: Literal["async", "sync"] = "async"
