"""Tools: the tools that agents are granted, and the tools that exist."""

from collections.abc import Iterator

from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Finding, Level
from engine.blueprint.kinds.rules import BoundAgent
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.schema.document import Blueprint
from engine.blueprint.schema.subprocess_template import SubprocessRunner
from engine.flow.spelling import did_you_mean


@lint("contract", Level.WARN, "ToolLint")
def tool_unknown_mcp_ref(view: View) -> Iterator[Finding]:
    """An agent is granted `mcp__server__tool`, and the server has no such tool.

    `manage.py blueprint lint --mcp-tools FILE` names the server without the tool, or the
    spec of an `agent_block` agent doesn't have the server. The agent would call a tool
    that doesn't exist.
    """
    live = view.options.mcp_tools
    for one in view.runnable:
        own = one.rules.mcp_servers(one)
        for number, tool in enumerate(one.tools):
            if not tool.startswith("mcp__"):
                continue
            server, _, name = tool.removeprefix("mcp__").partition("__")
            if server in live:
                if name in live[server]:
                    continue
                hint = did_you_mean(name, live[server])
            elif own is None or server in own:
                continue
            else:
                hint = did_you_mean(server, own) or "add the server to spec.mcp_servers"
            yield Finding(
                f"{_tools_place(view.blueprint, one)}[{number}]",
                f"{one.agent.name!r} is granted {tool!r}, which does not exist",
                hint,
                element=one.element,
            )


def _tools_place(blueprint: Blueprint, one: BoundAgent) -> str:
    """Return the place of the list that `one.tools` was read from."""
    if isinstance(one.runner, SubprocessRunner):
        return f"{one.place}.profile.tools"
    if one.source == "agent_inline":
        return f"{one.place}.runner.tools"
    if one.source in ("agent_ref", "blueprint_default"):
        named = [row.name for row in blueprint.runners]
        name = one.agent.runner_ref or blueprint.default_runner or ""
        return f"$.runners[{named.index(name)}].runner.tools"
    return f"{one.place}.profile.tools"
