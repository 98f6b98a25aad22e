"""The document's parts about child processes (reference-language 2.3, 3.3).

Two forms: plain (`program`, `args`: as they stand) and template (`argv`, `stdin` with
placeholders), the latter in the agent's spec or shared under `subprocesses`.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from engine.blueprint.placeholders import check_placeholders, placeholders_in
from engine.blueprint.strict import Name, Strict, said
from engine.flow.json_text import Json

_A_YEAR_S: Final = 366 * 24 * 3600
_MOST_BYTES: Final = 2**62
# The child is told by us what step it works for, so a spec must not say it.
_OURS: Final = ("SWARM_", "MSE_")

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Template = Annotated[Text, AfterValidator(check_placeholders)]
Pointer = Annotated[str, Field(pattern=r"^/([^~]|~[01])*$")]
_ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
EnvName = Annotated[str, Field(pattern=_ENV_NAME)]
Bytes = Annotated[int, Field(gt=0, le=_MOST_BYTES)]
StreamMode = Literal["ndjson_lines", "sse_events", "length_prefixed"]


class ProcessStats(Strict):
    """Where a child's JSON output tells what the work cost."""

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
    """Limits of one agent's processes; null: as settings have it.

    Seconds of CPU time and bytes of private memory of each process, open files, bytes
    of a file it writes, bytes of output of the child.
    """

    cpu_s: Annotated[int, Field(gt=0, le=_A_YEAR_S)] | None = None
    memory_bytes: Bytes | None = None
    open_files: Annotated[int, Field(gt=2, le=2**30)] | None = None
    file_bytes: Bytes | None = None
    output_bytes: Bytes | None = None


def _whole(schema: dict[str, Json]) -> None:
    """Adds to a JSON Schema what `ProcessSpec.check_whole` refuses."""
    schema["allOf"] = [
        {"not": {"allOf": [said("output"), said(other)]}}
        for other in ("stream_mode", "submit_format")
    ]
    schema["properties"]["env"]["propertyNames"] = {
        "pattern": _ENV_NAME,
        "not": {"pattern": f"^({'|'.join(_OURS)})"},
    }


class ProcessSpec(Strict):
    """What both forms may say."""

    model_config = ConfigDict(json_schema_extra=_whole)

    env: dict[EnvName, Template] = {}
    cwd: Annotated[Template, Field(min_length=1)] | None = None
    output: ProcessOutput | None = None
    stream_mode: StreamMode | None = None
    submit_format: Literal["json", "text"] | None = None
    limits: ProcessLimits = ProcessLimits()

    @model_validator(mode="after")
    def check_whole(self) -> "ProcessSpec":
        """Refuses what reads the output in two ways, and variables of ours."""
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
            if name.startswith(_OURS):
                raise ValueError(
                    f"env must not set {name}: names that begin with"
                    f" {' or '.join(_OURS)} tell the child its step"
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
        Field(min_length=1, json_schema_extra={"prefixItems": [{"minLength": 1}]}),
    ]
    stdin: Template | None = None

    @model_validator(mode="after")
    def check_program(self) -> "_Words":
        """Refuses a program that data would choose."""
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
    """What an agent changes of the template it uses."""

    model: str | None = None
    tools: list[str] = []
    cwd: Annotated[Template, Field(min_length=1)] | None = None


class SubprocessRunner(Strict):
    """`runner` of an agent of kind subprocess: which template starts it."""

    backend: Literal["subprocess"]
    template: Name
    overrides: RunnerOverrides = RunnerOverrides()


def subprocess_model(spec: Json) -> type[ProcessSpec]:
    """Returns the form that a spec has: a template if it says `argv`, else plain."""
    template = isinstance(spec, dict) and "argv" in spec and "program" not in spec
    return TemplateSpec if template else PlainSpec


def applied(template: SubprocessDef, runner: SubprocessRunner) -> dict[str, Json]:
    """Returns the spec of an agent that uses a shared template."""
    spec = template.model_dump(exclude={"name"})
    overrides = runner.overrides
    spec["model"] = overrides.model
    spec["tools"] = overrides.tools or None
    spec["cwd"] = overrides.cwd or template.cwd
    return spec
