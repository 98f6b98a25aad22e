"""The shape of a Blueprint document.

Strict: no unknown fields, no conversions. What one field can't see alone, the compiler
checks.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.blueprint.schema_agents import (
    AgentDef,
    AuditDef,
    ContextPolicy,
    LintLayer,
    MetaDef,
    OperatorDef,
    OperatorKind,
)
from engine.blueprint.schema_hints import CompilerHints
from engine.blueprint.schema_runners import RunnerDef
from engine.blueprint.strict import A_YEAR_S, BlueprintId, Name, SemVer, Strict
from engine.blueprint.subprocess_spec import SubprocessDef
from engine.flow.grammar import Dialect
from engine.flow.json_text import Json

SCHEMA_VERSION: Final = "0.1.0"


class CompilerStrategy(Strict):
    """How strict the compiler is."""

    strict_refs: bool = True
    strict_kind: bool = True
    strict_binding: bool = False


class _Origin(BaseModel):
    """Where a document came from; the one object that takes other fields too."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class InlineOrigin(_Origin):
    """The document was handed over as it is."""

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
    """What people and version selectors want to know of a Blueprint."""

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
    """A flow and the agents its steps name (reference-language 2.1)."""

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
