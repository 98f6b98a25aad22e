"""The shape of a Blueprint document (reference-language 2), as far as it is built.

Strict: no unknown fields, no conversions. What one field can't see alone, the compiler
checks.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.flow.json_text import Json

KINDS: Final = ("lua", "python_fn", "subprocess", "operator", "agent_block")
KIND_ALIASES: Final[Mapping[str, str]] = {"rust_fn": "python_fn"}
_A_YEAR_S: Final = 366 * 24 * 3600

Name = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Seconds = Annotated[float, Field(gt=0, le=_A_YEAR_S)]
BlueprintId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
SemVer = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
    ),
]


class Strict(BaseModel):
    """The rules of all parts: exact types, no other fields, finite numbers."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        # With this engine `$` doesn't match before a final newline.
        regex_engine="rust-regex",
    )


class PythonFnSpec(Strict):
    """`spec` of kind python_fn: the registered name of a function."""

    fn_id: Annotated[str, Field(min_length=1, max_length=256)]


class SubprocessSpec(Strict):
    """`spec` of kind subprocess: the program to start, without a shell."""

    program: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
    args: list[Annotated[str, Field(pattern=r"^[^\x00]*$")]] = []
    use_stdin: bool = True


class LuaLimitsSpec(Strict):
    """The limits of one Lua agent; what is absent comes from the settings."""

    time_s: Seconds | None = None
    memory_bytes: Annotated[int, Field(ge=2**20, le=2**40)] | None = None
    output_bytes: Annotated[int, Field(ge=1, le=2**30)] | None = None


class LuaSpec(Strict):
    """`spec` of kind lua: a source text, or the name of a registered script."""

    source: Annotated[str, Field(min_length=1, max_length=2**20)] | None = None
    fn_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    label: Name | None = None
    big_integers: Literal["refuse", "text"] = "refuse"
    limits: LuaLimitsSpec = LuaLimitsSpec()

    @model_validator(mode="after")
    def check_one(self) -> "LuaSpec":
        """Refuses a spec without any script; with both, `source` wins."""
        if self.source is None and self.fn_id is None:
            raise ValueError("expected 'source' or 'fn_id'")
        return self


# The spec of a kind that is not here is passed on as it is.
SPECS: Final[Mapping[str, type[Strict]]] = {
    "lua": LuaSpec,
    "python_fn": PythonFnSpec,
    "subprocess": SubprocessSpec,
}


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
    default_run_ttl_secs: Annotated[int, Field(gt=0, le=_A_YEAR_S)] | None = None


class Blueprint(Strict):
    """A flow and the agents its steps name (reference-language 2.1)."""

    schema_version: SemVer = "0.1.0"
    id: BlueprintId
    flow: Json
    agents: list[AgentDef] = []
    hints: CompilerHints = CompilerHints()
    strategy: CompilerStrategy = CompilerStrategy()
    default_init_ctx: Json = None
    metadata: BlueprintMetadata = BlueprintMetadata()
