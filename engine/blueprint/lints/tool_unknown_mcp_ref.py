"""An agent is granted a tool that no server offers."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.grants import tools_place
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View

PREFIX: Final = "mcp__"


def check(view: View) -> Iterator[Finding]:
    """Yields each `mcp__server__tool` of a known server that it doesn't have.

    An agent_block agent also names a server that its spec doesn't set up.
    """
    for one in view.kept:
        own = _servers(one)
        for number, tool in enumerate(one.tools):
            if not tool.startswith(PREFIX):
                continue
            server, _, name = tool.removeprefix(PREFIX).partition("__")
            hint = _hint(server, name, own, view.options.mcp_tools)
            if hint is not None:
                message = f"{one.agent.name!r} is granted {tool!r}, which isn't there"
                at = f"{tools_place(view.blueprint, one)}[{number}]"
                yield Finding(at, message, hint, element=one.element)


def _servers(one: BoundAgent) -> list[str] | None:
    """Returns the servers an agent_block agent sets up, None for other kinds."""
    spec = one.agent.spec or {}
    rows = spec.get("mcp_servers", []) if isinstance(spec, dict) else []
    if one.kind != "agent_block" or not isinstance(rows, list):
        return None
    names = [row.get("name") for row in rows if isinstance(row, dict)]
    return [name for name in names if isinstance(name, str)]


def _hint(
    server: str,
    name: str,
    own: list[str] | None,
    live: Mapping[str, Collection[str]],
) -> str | None:
    """Returns what would be right, None if the tool may well be there."""
    if server in live:
        return None if name in live[server] else did_you_mean(name, live[server])
    if own is not None and server not in own:
        return did_you_mean(server, own) or "add the server to spec.mcp_servers"
    return None


LINT: Final = LintKind(
    "tool-unknown-mcp-ref", "contract", Level.WARN, "ToolLint", lint=check
)
