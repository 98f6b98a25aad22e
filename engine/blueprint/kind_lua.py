"""Kind lua: a script written in the document, or one by its registered name."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import FunctionId, Name, Seconds, Strict, said


class LuaLimitsSpec(Strict):
    """The limits of one Lua agent; what is absent comes from the settings."""

    time_s: Seconds | None = None
    memory_bytes: Annotated[int, Field(ge=2**20, le=2**40)] | None = None
    output_bytes: Annotated[int, Field(ge=1, le=2**30)] | None = None


class LuaSpec(Strict):
    """`spec` of kind lua: a source text, or the name of a registered script."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [said("source"), said("fn_id")]}
    )

    source: Annotated[str, Field(min_length=1, max_length=2**20)] | None = None
    fn_id: FunctionId | None = None
    label: Name | None = None
    big_integers: Literal["refuse", "text"] = "refuse"
    limits: LuaLimitsSpec = LuaLimitsSpec()

    @model_validator(mode="after")
    def check_one(self) -> "LuaSpec":
        """Refuses a spec without any script; with both, `source` wins."""
        if self.source is None and self.fn_id is None:
            raise ValueError("expected 'source' or 'fn_id'")
        return self


RULES: Final = KindRules(LuaSpec)
