"""The rules that all parts of a Blueprint share, and the texts they are made of."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from engine.visible import OBEYED

A_YEAR_S: Final = 366 * 24 * 3600

# No newline and no tab either: a name stands in a line.
NAME: Final = rf"^[^\t\n{OBEYED}]+$"

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=NAME)]
FunctionId = Annotated[str, Field(min_length=1, max_length=256, pattern=NAME)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Seconds = Annotated[float, Field(gt=0, le=A_YEAR_S)]
BlueprintId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
QueueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
SemVer = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
    ),
]


def said(field: str) -> dict[str, Any]:
    """Returns the JSON Schema of an object with a field that is not null."""
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}


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
