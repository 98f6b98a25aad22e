"""Runners and the templates of child processes (reference-language 2.3)."""

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from engine.blueprint.strict import JsonPointer, Name, Strict, Text

PLACEHOLDERS: Final = (
    "system",
    "system_file",
    "prompt",
    "model",
    "tools_csv",
    "work_dir",
    "task_id",
    "attempt",
)
# A pair of braces is a placeholder only around such a word.
PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
Tools: TypeAlias = list[Name]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class WsOperator(Strict):
    """An operator who works over the network, of any provider."""

    backend: Literal["ws_operator"]
    variant: Name
    tools: Tools = []


class WsClaudeCode(Strict):
    """An operator of the Claude Code flavour; what `worker_binding` once meant."""

    backend: Literal["ws_claude_code"]
    variant: Name
    tools: Tools = []


class AgentBlockInProcess(Strict):
    """A language model driven by the worker; `tools` is all it is granted."""

    backend: Literal["agent_block_in_process"]
    tools: Tools = []


class SubprocessOverrides(Strict):
    """What an agent changes of the template it uses."""

    model: str | None = None
    tools: Tools = []
    cwd: Text | None = None


class SubprocessRunner(Strict):
    """A child process started from a template."""

    backend: Literal["subprocess"]
    template: Name
    overrides: SubprocessOverrides = SubprocessOverrides()


Runner: TypeAlias = Annotated[
    WsOperator | WsClaudeCode | AgentBlockInProcess | SubprocessRunner,
    Field(discriminator="backend"),
]


class RunnerDef(Strict):
    """A runner with a name, for `runner_ref` and `default_runner`."""

    name: Name
    runner: Runner


class SubprocessStats(Strict):
    """Where a child's answer tells what it used, as JSON pointers."""

    usage_ptr: JsonPointer | None = None
    model_ptr: JsonPointer | None = None
    num_turns_ptr: JsonPointer | None = None


class SubprocessOutput(Strict):
    """How a child's standard output becomes a value."""

    format: Literal["json"] | None = None
    result_ptr: JsonPointer | None = None
    ok_from: str | None = None
    stats: SubprocessStats | None = None

    @field_validator("ok_from")
    @classmethod
    def check_ok_from(cls, value: str | None) -> str | None:
        """Refuses what is neither `exit_code` nor a JSON pointer."""
        if value is None or value == "exit_code" or value.startswith("/"):
            return value
        raise ValueError(f"expected 'exit_code' or a JSON pointer, got {value!r}")


class SubprocessDef(Strict):
    """A template of a child process; its texts may hold placeholders."""

    name: Name
    argv: Annotated[list[Text], Field(min_length=1)]
    stdin: Text | None = None
    env: dict[EnvName, Text] = {}
    cwd: Text | None = None
    output: SubprocessOutput | None = None
    stream_mode: Literal["ndjson_lines", "sse_events", "length_prefixed"] | None = None

    @model_validator(mode="after")
    def check_parts(self) -> "SubprocessDef":
        """Refuses unknown placeholders, and two ways to read the output."""
        if self.output is not None and self.stream_mode is not None:
            raise ValueError("output and stream_mode exclude each other; leave one out")
        texts = [*self.argv, *self.env.values(), self.stdin or "", self.cwd or ""]
        found = {word for text in texts for word in PLACEHOLDER.findall(text)}
        unknown = sorted(found.difference(PLACEHOLDERS))
        if unknown:
            known = ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known: {known}")
        return self
