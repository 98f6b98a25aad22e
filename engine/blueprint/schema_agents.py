"""Who works and what they see: agents, operators, metas and audits (2.2)."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from engine.blueprint.schema_runners import Runner
from engine.blueprint.strict import Name, Strict
from engine.flow.json_text import Json

OperatorKind: TypeAlias = Literal["main_ai", "automate", "composite"]
LintSetting: TypeAlias = Literal["allow", "warn", "deny"]
# Keys are not checked here: one that means nothing is a finding, not an error.
LintLayer: TypeAlias = dict[str, LintSetting]


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
    """What an agent sees of its surroundings; null stands for everything."""

    include: list[str] | None = None
    exclude: list[str] = []
    steps: list[str] | None = None
    steps_exclude: list[str] = []


class AgentMeta(Strict):
    """What people want to know of an agent, its ctx and the name of its output."""

    description: str | None = None
    version: str | None = None
    tags: list[str] = []
    ctx: dict[str, Json] | None = None
    context_policy: ContextPolicy | None = None
    meta_ref: Name | None = None
    projection_name: Name | None = None


class VerdictContract(Strict):
    """The closed set of tokens an agent may answer, and where they stand."""

    channel: Literal["body", "part"]
    values: Annotated[
        list[str], Field(min_length=1, json_schema_extra={"uniqueItems": True})
    ]

    @model_validator(mode="after")
    def check_values(self) -> "VerdictContract":
        """Refuses a token that stands there twice."""
        seen: set[str] = set()
        for value in self.values:
            if value in seen:
                raise ValueError(f"values has {value!r} twice; drop one")
            seen.add(value)
        return self


class AgentDef(Strict):
    """One worker definition; `step.ref` is its `name`.

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
    """A logical seat; who sits there is decided when the run goes on."""

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
    """An agent that looks at steps after they have settled."""

    agent: Name
    steps: list[Annotated[str, Field(min_length=1)]] | None = None
    mode: Literal["async", "sync"] = "async"
