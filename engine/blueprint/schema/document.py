"""The shape of a Blueprint document.

It is strict: no unknown fields, no conversions. The compiler checks the rules that need
more than one field.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.blueprint.schema.agents import (
    AgentDef,
    AuditDef,
    ContextPolicy,
    LintLayer,
    MetaDef,
    OperatorDef,
    OperatorKind,
    RunnerDef,
)
from engine.blueprint.schema.policy import AgentHints, AgentPolicy
from engine.blueprint.schema.strict import (
    A_YEAR_S,
    BlueprintId,
    Name,
    SemVer,
    Strict,
)
from engine.blueprint.schema.subprocess_template import SubprocessDef
from engine.flow.grammar import Dialect
from engine.flow.json_text import Json

SCHEMA_VERSION: Final = "0.1.0"


class CompilerHints(Strict):
    """Hints by agent name; `global` has no meaning and must be null."""

    per_agent: dict[str, AgentHints] = {}
    for_all: Annotated[None, Field(alias="global")] = None


class CompilerStrategy(Strict):
    """How strict the compiler is."""

    strict_refs: bool = True
    strict_kind: bool = True
    strict_binding: bool = False


class _Origin(BaseModel):
    """The source of a document; the one object that allows other fields too."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class InlineOrigin(_Origin):
    """The document was sent as it is."""

    kind: Literal["inline"]


class FileOrigin(_Origin):
    """The document was read from a file."""

    kind: Literal["file"]
    path: str


class AlgoOrigin(_Origin):
    """The document was written by a program in a session."""

    kind: Literal["algo"]
    session_id: str


class BlueprintMetadata(Strict):
    """Information about a Blueprint for people and version selectors."""

    description: str | None = None
    origin: Annotated[
        InlineOrigin | FileOrigin | AlgoOrigin, Field(discriminator="kind")
    ] = InlineOrigin(kind="inline")
    tags: list[str] = []
    version_label: SemVer | None = None
    project_name_alias: str | None = None
    default_run_ttl_secs: Annotated[int, Field(gt=0, le=A_YEAR_S)] | None = None
    strict_verdict_handling: bool | None = None
    lints: LintLayer | None = None


class SpawnerHints(Strict):
    """The layers around each spawner, the innermost first."""

    layers: list[str] = []


class ProjectionPlacement(Strict):
    """Where the outputs of steps are written as files."""

    root: str | None = None
    dir_template: str | None = None


class Blueprint(Strict):
    """A flow and the agents its steps name."""

    NEAR: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (*AgentPolicy.model_fields, *AgentPolicy.NEAR),
        "it belongs to an agent, in `agents`",
    )

    schema_version: SemVer = SCHEMA_VERSION
    dialect: Dialect = "flow.ir"
    id: BlueprintId
    flow: Json
    agents: list[AgentDef] = []
    operators: list[OperatorDef] = []
    metas: list[MetaDef] = []
    hints: CompilerHints = CompilerHints()
    strategy: CompilerStrategy = CompilerStrategy()
    metadata: BlueprintMetadata = BlueprintMetadata()
    spawner_hints: SpawnerHints = SpawnerHints()
    default_agent_kind: str | None = None
    default_operator_kind: OperatorKind | None = None
    default_init_ctx: Json = None
    default_agent_ctx: dict[str, Json] | None = None
    default_context_policy: ContextPolicy | None = None
    projection_placement: ProjectionPlacement | None = None
    audits: list[AuditDef] = []
    degradation_policy: Literal["warn", "fail"] | None = None
    runners: list[RunnerDef] = []
    default_runner: Name | None = None
    subprocesses: list[SubprocessDef] = []
    check_policy: Literal["silent", "warn", "strict"] | None = None
    blueprint_ref_includes: list[str] = []
