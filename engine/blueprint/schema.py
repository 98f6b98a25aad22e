"""The shape of a Blueprint document (reference-language 2), as far as it is built.

Strict: no unknown fields, no conversions. What one field can't see alone, the compiler
checks.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from engine.blueprint.lua_spec import LuaSpec
from engine.blueprint.strict import A_YEAR_S, Name, Seconds, Strict
from engine.blueprint.subprocess_spec import (
    SubprocessDef,
    SubprocessRunner,
    subprocess_model,
)
from engine.flow.grammar import Dialect
from engine.flow.json_text import Json

KINDS: Final = ("lua", "python_fn", "subprocess", "operator", "agent_block")
KIND_ALIASES: Final[Mapping[str, str]] = {"rust_fn": "python_fn"}
BlueprintId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
SemVer = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
    ),
]


class PythonFnSpec(Strict):
    """`spec` of kind python_fn: the registered name of a function."""

    fn_id: Annotated[str, Field(min_length=1, max_length=256)]


SPECS: Final[Mapping[str, type[Strict]]] = {"lua": LuaSpec, "python_fn": PythonFnSpec}


def spec_model(kind: str, spec: Json) -> type[Strict] | None:
    """Returns the model of a spec, None for a kind whose spec is passed on as it is."""
    if kind == "subprocess":
        return subprocess_model(spec)
    return SPECS.get(kind)


class AgentProfile(Strict):
    """The persona of an agent (reference-language 2.2)."""

    system_prompt: str = ""
    model: str | None = None
    effort: str | None = None
    tools: list[str] = []
    description: str | None = None
    extras: Json = None
    version_hash: str | None = None


class AgentMeta(Strict):
    """What people want to know of an agent."""

    description: str | None = None
    version: str | None = None
    tags: list[str] = []


class AgentDef(Strict):
    """One worker definition; `step.ref` is its `name`."""

    name: Name
    kind: str
    spec: Json = None
    profile: AgentProfile | None = None
    meta: AgentMeta | None = None
    runner: SubprocessRunner | None = None


class RetryHints(Strict):
    """When an attempt is made again; `max` counts all attempts (design.md §5)."""

    max: Annotated[int, Field(ge=1, le=1000)] = 1
    base_s: Seconds = 1.0
    cap_s: Seconds = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    budget_s: Seconds | None = None
    never: Annotated[list[Name], Field(alias="not")] = []

    @model_validator(mode="after")
    def check_cap(self) -> "RetryHints":
        """Refuses a longest wait that is shorter than the first."""
        # A base above the default cap is only wrong if the author wrote that cap.
        if "cap_s" in self.model_fields_set and self.cap_s < self.base_s:
            raise ValueError("cap_s must not be less than base_s")
        return self


class AgentHints(Strict):
    """The policy of one agent (design.md §5)."""

    queue: QueueName | None = None
    priority: Literal["hi", "std", "lo"] = "std"
    timeout_s: Seconds | None = None
    retry: RetryHints = RetryHints()


class CompilerHints(Strict):
    """Hints by agent name; `global` is accepted as null only, nothing reads it."""

    per_agent: dict[str, AgentHints] = {}
    for_all: Annotated[None, Field(alias="global")] = None


class CompilerStrategy(Strict):
    """The reference's switches of strictness, at their defaults: no other is built."""

    strict_refs: Literal[True] = True
    strict_kind: Literal[True] = True
    strict_binding: Literal[False] = False


class BlueprintMetadata(Strict):
    """What people and version selectors want to know of a Blueprint."""

    description: str | None = None
    tags: list[str] = []
    version_label: SemVer | None = None
    default_run_ttl_secs: Annotated[int, Field(gt=0, le=A_YEAR_S)] | None = None


class Blueprint(Strict):
    """A flow and the agents its steps name (reference-language 2.1)."""

    schema_version: SemVer = "0.1.0"
    id: BlueprintId
    dialect: Dialect = "flow.ir"
    flow: Json
    agents: list[AgentDef] = []
    subprocesses: list[SubprocessDef] = []
    hints: CompilerHints = CompilerHints()
    strategy: CompilerStrategy = CompilerStrategy()
    default_init_ctx: Json = None
    metadata: BlueprintMetadata = BlueprintMetadata()
