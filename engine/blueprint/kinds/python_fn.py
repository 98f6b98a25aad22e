"""Kind python_fn: a Python function by its path or its registered name."""

from typing import Any, Final

from pydantic import ConfigDict, model_serializer, model_validator

from engine.blueprint.kinds.rules import UNUSED_PROFILE, AgentKind
from engine.blueprint.schema.strict import FunctionId, FunctionPath, Strict, given


class PythonFnSpec(Strict):
    """`spec` of kind python_fn: the path or the registered name of a function."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [given("fn"), given("fn_id")]}
    )

    fn: FunctionPath | None = None
    fn_id: FunctionId | None = None

    @model_validator(mode="after")
    def check_one(self) -> "PythonFnSpec":
        """Refuse a spec with no function or two."""
        if (self.fn is None) == (self.fn_id is None):
            raise ValueError("expected one of 'fn' and 'fn_id'")
        return self

    @model_serializer
    def dump_given(self) -> dict[str, str]:
        """Write the field that is given, so that each spec has one form."""
        return {
            name: text
            for name in ("fn", "fn_id")
            if (text := getattr(self, name)) is not None
        }


class PythonFn(AgentKind):
    """A function that the worker calls itself."""

    name = "python_fn"
    aliases = ("rust_fn",)
    spec = PythonFnSpec
    lacks = (UNUSED_PROFILE,)

    def describe(self, spec: Any) -> str:
        """Return the path or the name of the function."""
        return str(spec.get("fn") or spec.get("fn_id"))


KIND: Final = PythonFn()
