"""Runners: what backs an agent (reference-language 2.3)."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from engine.blueprint.strict import Name, Strict
from engine.blueprint.subprocess_spec import SubprocessRunner

Tools: TypeAlias = list[Name]


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


Runner: TypeAlias = Annotated[
    WsOperator | WsClaudeCode | AgentBlockInProcess | SubprocessRunner,
    Field(discriminator="backend"),
]


class RunnerDef(Strict):
    """A runner with a name, for `runner_ref` and `default_runner`."""

    name: Name
    runner: Runner
