"""What a lint is told of the world around a Blueprint: wrapper files and live tools."""

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.loaders.agent_md import AgentMdInvalid, load_agents
from blueprints.loaders.files import Unreadable, read_file
from blueprints.parameters import Refused
from engine.flow import JsonTextError, load_json

OPERATOR: Final = "operator"
PREFIX: Final = "mcp__"


def add_surroundings(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--wrappers",
        metavar="DIR",
        help="a folder of *.md files, one for each worker, with the tools it grants",
    )
    parser.add_argument(
        "--mcp-tools",
        metavar="FILE",
        help="a JSON file with the names of the live tools: mcp__SERVER__TOOL",
    )


def surroundings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of LintOptions that the arguments fill; raises Refused."""
    known: dict[str, Any] = {}
    if options["wrappers"] is not None:
        known["wrappers"] = read_wrappers(options["wrappers"])
    if options["mcp_tools"] is not None:
        known["mcp_tools"] = read_tools(options["mcp_tools"])
    return known


def read_wrappers(folder: str) -> dict[str, list[str]]:
    """Returns the tools that the wrapper files of a folder grant, by name.

    Raises Refused.
    """
    if not Path(folder).is_dir():
        raise Refused(f"--wrappers {folder}: there is no such folder")
    try:
        agents = load_agents(folder, OPERATOR)
    except AgentMdInvalid as error:
        raise Refused(f"--wrappers: {error}") from None
    return {agent["name"]: agent["profile"].get("tools", []) for agent in agents}


def read_tools(file: str) -> dict[str, set[str]]:
    """Returns the tools that a JSON file lists, by server; raises Refused."""
    try:
        names = load_json(read_file(file).decode())
    except (Unreadable, UnicodeDecodeError) as error:
        raise Refused(f"--mcp-tools {file}: {error}") from None
    except JsonTextError as error:
        raise Refused(f"--mcp-tools {file}: no JSON: {error}") from None
    if not isinstance(names, list):
        raise Refused(f"--mcp-tools {file}: expected an array of names")
    servers: dict[str, set[str]] = {}
    for number, name in enumerate(names):
        text = name if isinstance(name, str) else ""
        server, _, tool = text.removeprefix(PREFIX).partition("__")
        if not (text.startswith(PREFIX) and server and tool):
            form = f"{PREFIX}SERVER__TOOL"
            raise Refused(f"--mcp-tools {file}: $[{number}]: expected {form}")
        servers.setdefault(server, set()).add(tool)
    return servers
