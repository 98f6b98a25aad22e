"""What every model of a document shares: exact types, no other fields, and names."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

A_YEAR_S: Final = 366 * 24 * 3600

Name = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Seconds = Annotated[float, Field(gt=0, le=A_YEAR_S)]


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
