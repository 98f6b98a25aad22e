"""The document's parts about child processes.

There are two forms: plain (`program`, `args`, taken literally) and template (`argv`,
`stdin` with placeholders), in the agent's spec or shared under `subprocesses`.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from engine.blueprint.schema.placeholders import (
    PROGRAM,
    check_placeholders,
    placeholders_in,
)
from engine.blueprint.schema.strict import A_YEAR_S, Name, Strict, Text, given
from engine.flow.json_text import Json

_MOST_BYTES: Final = 2**62
# These variables name the child's step, so a spec must not set them.
_RESERVED: Final = ("SWARM_", "MSE_")

Template = Annotated[Text, AfterValidator(check_placeholders)]
Pointer = Annotated[str, Field(pattern=r"^/([^~]|~[01])*$")]
_ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
EnvName = Annotated[str, Field(pattern=_ENV_NAME)]
Bytes = Annotated[int, Field(gt=0, le=_MOST_BYTES)]
StreamMode = Literal["ndjson_lines", "sse_events", "length_prefixed"]


class ProcessStats(Strict):
    """Where a child's JSON output has the cost of the work."""

    usage_ptr: Pointer | None = None
    model_ptr: Pointer | None = None
    num_turns_ptr: Pointer | None = None


class ProcessOutput(Strict):
    """How a child's standard output, one JSON document, is read."""

    format: Literal["json"] | None = None
    result_ptr: Pointer | None = None
    ok_from: Annotated[str, Field(pattern=r"^(exit_code|/([^~]|~[01])*)$")] = (
        "exit_code"
    )
    stats: ProcessStats | None = None


class ProcessLimits(Strict):
    """Limits of one agent's processes; null stands for the setting.

    Seconds of CPU time and bytes of private memory of each process, open files, bytes
    of a file it writes, bytes of output of the child.
    """

    cpu_s: Annotated[int, Field(gt=0, le=A_YEAR_S)] | None = None
    memory_bytes: Bytes | None = None
    open_files: Annotated[int, Field(gt=2, le=2**30)] | None = None
    file_bytes: Bytes | None = None
    output_bytes: Bytes | None = None


def _whole(schema: dict[str, Json]) -> None:
    """Add the rules of `ProcessSpec.check_whole` to a JSON Schema."""
    schema["allOf"] = [
        {"not": {"allOf": [given("output"), given(other)]}}
        for other in ("stream_mode", "submit_format")
    ]
    schema["properties"]["env"]["propertyNames"] = {
        "pattern": _ENV_NAME,
        "not": {"pattern": f"^({'|'.join(_RESERVED)})"},
    }


class ProcessSpec(Strict):
    """The fields of both forms."""

    model_config = ConfigDict(json_schema_extra=_whole)

    env: dict[EnvName, Template] = {}
    cwd: Annotated[Template, Field(min_length=1)] | None = None
    output: ProcessOutput | None = None
    stream_mode: StreamMode | None = None
    submit_format: Literal["json", "text"] | None = None
    limits: ProcessLimits = ProcessLimits()

    @model_validator(mode="after")
    def check_whole(self) -> "ProcessSpec":
        """Refuse two ways to read the output, and reserved variables."""
        if self.output is not None and self.stream_mode is not None:
            raise ValueError(
                "output and stream_mode exclude each other: a stream's result is its"
                " last final event; remove one of them"
            )
        if self.output is not None and self.submit_format is not None:
            raise ValueError(
                "output and submit_format exclude each other: a declared output is JSON"
                " already; remove one of them"
            )
        for name in self.env:
            if name.startswith(_RESERVED):
                raise ValueError(
                    f"env must not set {name}: names that begin with"
                    f" {' or '.join(_RESERVED)} tell the child its step"
                )
        return self


class PlainSpec(ProcessSpec):
    """`spec` of kind subprocess, plain: the program to start, without a shell."""

    program: Annotated[Text, Field(min_length=1)]
    args: list[Text] = []
    use_stdin: bool = True


class _Words(ProcessSpec):
    argv: Annotated[
        list[Template],
        # `items` of a JSON Schema skips what `prefixItems` describes.
        Field(
            min_length=1,
            json_schema_extra={"prefixItems": [{"type": "string", "pattern": PROGRAM}]},
        ),
    ]
    stdin: Template | None = None

    @model_validator(mode="after")
    def check_program(self) -> "_Words":
        """Refuse a program that a value would choose."""
        if not self.argv[0]:
            raise ValueError("argv[0] must name a program, not be empty")
        chosen = [name for name in placeholders_in(self.argv[0]) if name != "work_dir"]
        if chosen:
            raise ValueError(
                f"argv[0] must not contain {{{chosen[0]}}}: which program is started"
                " is not for a value to choose; only {work_dir} is allowed there"
            )
        return self


class TemplateSpec(_Words):
    """`spec` of kind subprocess, template: words with placeholders.

    `model` and `tools` win over those of the agent's profile.
    """

    model: str | None = None
    tools: list[str] | None = None


class SubprocessDef(_Words):
    """A template that agents share: `runner.template` is its `name`."""

    name: Name


class RunnerOverrides(Strict):
    """The fields of the template that an agent replaces."""

    model: str | None = None
    tools: list[str] = []
    cwd: Annotated[Template, Field(min_length=1)] | None = None


class SubprocessRunner(Strict):
    """`runner` of an agent of kind subprocess: the name of its template."""

    backend: Literal["subprocess"]
    template: Name
    overrides: RunnerOverrides = RunnerOverrides()
