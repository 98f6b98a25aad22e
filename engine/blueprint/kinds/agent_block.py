"""Kind agent_block: a language model that the worker drives itself."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import ConfigDict, Field, model_validator

from engine.blueprint.findings.diagnostics import Finding
from engine.blueprint.kinds.rules import AgentKind, BoundAgent, Lack
from engine.blueprint.schema.strict import Name, Strict, Text, given


class McpServer(Strict):
    """A server of tools: a program to start, or a URL."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [given("command"), given("url")]}
    )

    name: Name
    command: Annotated[Text, Field(min_length=1)] | None = None
    args: list[Text] = []
    env: dict[str, Text] = {}
    url: Annotated[Text, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def check_one(self) -> "McpServer":
        """Refuse a server with neither a command nor a URL, or with both."""
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


class AgentBlock(AgentKind):
    """A model that works without occupying a worker."""

    name = "agent_block"
    backends = ("agent_block_in_process",)
    spec = AgentBlockSpec
    answers = True
    holds_worker = False
    lacks = (
        Lack(
            ("agents[]", "runners[]"),
            "no worker serves its kind, so a run is refused",
            "use another kind, such as 'subprocess' for a program that asks a model",
        ),
    )

    def mcp_servers(self, bound: BoundAgent) -> list[str] | None:
        """Return the names of the servers in `spec.mcp_servers`."""
        rows = bound.spec.get("mcp_servers", [])
        if not isinstance(rows, list):
            return None
        names = [row.get("name") for row in rows if isinstance(row, dict)]
        return [name for name in names if isinstance(name, str)]

    def check(self, bound: BoundAgent) -> Iterator[Finding]:
        """Yield each taken name of an MCP server, and grants that cannot be enforced."""
        place = f"{bound.place}.spec.mcp_servers"
        first: dict[str, int] = {}
        for number, name in enumerate(self.mcp_servers(bound) or ()):
            if name in first:
                message = f"the name {name!r} is taken by {place}[{first[name]}]"
                at = f"{place}[{number}].name"
                yield Finding(at, message, "rename one", element=bound.element)
            first.setdefault(name, number)
        granted = [tool for tool in bound.tools if tool.startswith("mcp__")]
        if bound.spec.get("script_path") is not None and granted:
            message = f"a script can't be restricted to the tool {granted[0]!r}"
            hint = "drop 'script_path' (prompt mode), or take the mcp__ tools away"
            place = f"{bound.place}.spec.script_path"
            yield Finding(place, message, hint, element=bound.element)


KIND: Final = AgentBlock()
