"""Kind lua: a script written in the document, or one by its registered name."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from engine.blueprint.kinds.rules import UNUSED_PROFILE, AgentKind
from engine.blueprint.schema.strict import FunctionId, Name, Seconds, Strict, given


class LuaLimitsSpec(Strict):
    """The limits of one Lua agent; a setting is the default of each."""

    time_s: Seconds | None = None
    memory_bytes: Annotated[int, Field(ge=2**20, le=2**40)] | None = None
    output_bytes: Annotated[int, Field(ge=1, le=2**30)] | None = None


class LuaSpec(Strict):
    """`spec` of kind lua: a source text, or the name of a registered script."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [given("source"), given("fn_id")]}
    )

    source: Annotated[str, Field(min_length=1, max_length=2**20)] | None = None
    fn_id: FunctionId | None = None
    label: Name | None = None
    big_integers: Literal["refuse", "text"] = "refuse"
    limits: LuaLimitsSpec = LuaLimitsSpec()

    @model_validator(mode="after")
    def check_one(self) -> "LuaSpec":
        """Refuse a spec without a script; with both fields, `source` wins."""
        if self.source is None and self.fn_id is None:
            raise ValueError("expected 'source' or 'fn_id'")
        return self


class Lua(AgentKind):
    """A script that runs in a sandbox of the worker."""

    name = "lua"
    spec = LuaSpec
    has_context = True
    lacks = (UNUSED_PROFILE,)

    def describe(self, spec: Any) -> str:
        """Return the name of the script."""
        inline = spec.get("source") is not None
        return "inline script" if inline else str(spec.get("fn_id"))


KIND: Final = Lua()
