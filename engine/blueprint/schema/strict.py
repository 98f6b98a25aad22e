"""The rules that all parts of a Blueprint share, and the types of their texts."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from engine.visible import CONTROLS

A_YEAR_S: Final = 366 * 24 * 3600

# No newline and no tab: a name is shown within a line.
NAME: Final = rf"^[^\t\n{CONTROLS}]+$"
# `shop.agents:classify`: a module, and a public function in it.
FUNCTION_PATH: Final = (
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z][A-Za-z0-9_]*$"
)

BLUEPRINT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SEMVER: Final = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=NAME)]
FunctionId = Annotated[str, Field(min_length=1, max_length=256, pattern=NAME)]
FunctionPath = Annotated[str, Field(max_length=256, pattern=FUNCTION_PATH)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Seconds = Annotated[float, Field(gt=0, le=A_YEAR_S)]
BlueprintId = Annotated[str, Field(pattern=BLUEPRINT_ID)]
QueueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
SemVer = Annotated[str, Field(pattern=SEMVER)]


def given(field: str) -> dict[str, Any]:
    """Return the JSON Schema of an object with a field that is not null."""
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}


class Strict(BaseModel):
    """The rules of all parts: exact types, no other fields, finite numbers.

    NEAR has words that authors write by mistake as fields, with what to write instead.
    """

    NEAR: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        # With this engine `$` doesn't match before a final newline.
        regex_engine="rust-regex",
    )
