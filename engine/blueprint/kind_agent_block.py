"""Kind agent_block: a language model that the worker drives itself."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import ConfigDict, Field, model_validator

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import Name, Strict, Text, said


class McpServer(Strict):
    """A server of tools: a program that is started, or an address."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [said("command"), said("url")]}
    )

    name: Name
    command: Annotated[Text, Field(min_length=1)] | None = None
    args: list[Text] = []
    env: dict[str, Text] = {}
    url: Annotated[Text, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def check_one(self) -> "McpServer":
        """Refuses a server that is nowhere, and one in two places."""
        if (self.command is None) == (self.url is None):
            both = "" if self.url is None else ", not both"
            raise ValueError(f"expected 'command' or 'url'{both}")
        return self


class AgentBlockSpec(Strict):
    """`spec` of kind agent_block: prompt mode unless there is a script."""

    script_path: Annotated[Text, Field(min_length=1)] | None = None
    project_root: Annotated[Text, Field(min_length=1)] | None = None
    mcp_servers: list[McpServer] = []
    mcp_rpc_timeout_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 30_000


def check_block(bound: BoundAgent) -> Iterator[Finding]:
    """Yields what is wrong with a spec that its shape can't say."""
    yield from check_servers(bound)
    yield from check_grants(bound)


def check_servers(bound: BoundAgent) -> Iterator[Finding]:
    """Yields a finding for each name of an MCP server that is taken."""
    first: dict[str, int] = {}
    spec = bound.agent.spec or {}
    for number, server in enumerate(spec.get("mcp_servers", ())):
        name, place = server["name"], f"{bound.place}.spec.mcp_servers"
        if name in first:
            message = f"the name {name!r} is taken by {place}[{first[name]}]"
            at = f"{place}[{number}].name"
            yield Finding(at, message, "rename one", element=bound.element)
        first.setdefault(name, number)


def check_grants(bound: BoundAgent) -> Iterator[Finding]:
    """Yields a finding where a script is granted MCP tools, which can't be enforced."""
    spec = bound.agent.spec or {}
    granted = [tool for tool in bound.tools if tool.startswith("mcp__")]
    if spec.get("script_path") is not None and granted:
        message = f"a script can't be held to the tool {granted[0]!r}"
        hint = "drop 'script_path' (prompt mode), or take the mcp__ tools away"
        place = f"{bound.place}.spec.script_path"
        yield Finding(place, message, hint, element=bound.element)


RULES: Final = KindRules(AgentBlockSpec, check=check_block, answers=True)
